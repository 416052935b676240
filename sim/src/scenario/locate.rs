//! Where a value stands in the text.
//!
//! **Invariant: every path has a place.** What isn't written down (a default) is placed where it would be: at the nearest
//! value around it. The parser keeps no places of values, so that the text is searched again, for errors only.
//!
//! ```text
//!   workload[2].Phase.writes     key, index, variant (in capitals), key
//!   plant[0].LostTask[0].Rate[0] positional values are indexed whatever the bracket
//! ```

use std::ops::Range;

use super::tokens::{Token, TokenKind};

/// The place in bytes of the value at `path`, at most to the end of its first line; of a default, the head of what is around.
pub fn locate(text: &str, tokens: &[Token], path: &str) -> Range<usize> {
    let mut value = root(text, tokens);
    for segment in path.split(['.', '[']).map(|s| s.trim_end_matches(']')).filter(|s| !s.is_empty()) {
        match enter(text, tokens, value.clone(), segment) {
            Some(inner) => value = inner,
            None => {
                let open = value.clone().take(2).find(|&i| tokens[i].kind == TokenKind::Open);
                value.end = open.map_or(value.end, |open| open + 1);
                break;
            }
        }
    }
    match (tokens.get(value.start), tokens.get(value.end.wrapping_sub(1))) {
        (Some(first), Some(last)) => first_line(text, first.start..last.end),
        _ => 0..0,
    }
}

/// A place without the lines after its first.
pub fn first_line(text: &str, span: Range<usize>) -> Range<usize> {
    let line = text[span.clone()].lines().next().unwrap_or("").trim_end();
    span.start..span.start + line.len()
}

/// The tokens of the whole value, after attributes such as `#![type = "..."]`.
fn root(text: &str, tokens: &[Token]) -> Range<usize> {
    let mut at = 0;
    while tokens.get(at).is_some_and(|t| text[t.span()].starts_with('#')) {
        at = skip(tokens, at + 1);
    }
    at.min(tokens.len())..tokens.len()
}

/// The tokens of the value that `segment` names in the value made of the tokens `value`.
fn enter(text: &str, tokens: &[Token], value: Range<usize>, segment: &str) -> Option<Range<usize>> {
    let name = tokens.get(value.start)?;
    if segment.starts_with(|c: char| c.is_ascii_uppercase()) {
        return (word(text, *name) == segment).then_some(value);
    }
    let open = value.clone().take(2).find(|&i| tokens[i].kind == TokenKind::Open)?;
    let items = items(tokens, open);
    if let Ok(index) = segment.parse::<usize>() {
        return items.get(index).cloned();
    }
    let keyed = |item: &Range<usize>| {
        item.len() > 2 && tokens[item.start + 1].kind == TokenKind::Colon && word(text, tokens[item.start]) == segment
    };
    items.into_iter().find(keyed).map(|item| item.start + 2..item.end)
}

/// The token's text; a raw identifier without its mark.
fn word(text: &str, token: Token) -> &str {
    let word = &text[token.span()];
    word.strip_prefix("r#").unwrap_or(word)
}

/// What stands between the commas inside the bracket at `open`.
fn items(tokens: &[Token], open: usize) -> Vec<Range<usize>> {
    let mut items = Vec::new();
    let mut start = open + 1;
    let mut at = start;
    while at < tokens.len() {
        match tokens[at].kind {
            TokenKind::Close => break,
            TokenKind::Comma => {
                items.push(start..at);
                at += 1;
                start = at;
            }
            _ => at = skip(tokens, at),
        }
    }
    if start < at {
        items.push(start..at);
    }
    items
}

/// The token after the one at `at`, or after the bracket that closes it.
fn skip(tokens: &[Token], at: usize) -> usize {
    let mut depth = 0;
    let mut i = at;
    while let Some(token) = tokens.get(i) {
        match token.kind {
            TokenKind::Open => depth += 1,
            TokenKind::Close => depth -= 1,
            _ => {}
        }
        i += 1;
        if depth <= 0 {
            break;
        }
    }
    i
}
