//! The pieces of a RON text: brackets, commas, colons, words and quoted text, with their places.
//!
//! **Invariant: any text is cut in one pass, without recursion**, so that a hostile file is refused here, before a parser
//! that recurses sees it. Whatever follows may rely on matching brackets.
//!
//! ```text
//!   Phase(name: "burst", threads: 0..4)      // comments vanish
//!   ^^^^^^---- ^^^^^^^^ ^^^^^^^---- ^^^^^
//!   word  open text     comma ...   word
//! ```

use std::ops::Range;

use super::limits;

/// What a token is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TokenKind {
    /// `(`, `[` or `{`.
    Open,
    /// `)`, `]` or `}`.
    Close,
    /// `,`
    Comma,
    /// `:`
    Colon,
    /// A run of anything else: an identifier, a number, a range.
    Word,
    /// A string or a character in quotes.
    Text,
}

/// One token and its place in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Token {
    /// What it is.
    pub kind: TokenKind,
    /// Its first byte.
    pub start: usize,
    /// The byte after its last.
    pub end: usize,
}

impl Token {
    /// Its place.
    pub fn span(self) -> Range<usize> {
        self.start..self.end
    }
}

/// Why a text is not made of tokens. Each has the place in bytes of what is to blame.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Broken {
    /// A string has no end.
    OpenString(usize),
    /// A block comment has no end.
    OpenComment(usize),
    /// A bracket is never closed.
    OpenBracket(usize),
    /// A bracket was never opened.
    NeverOpened(usize),
    /// A bracket is closed by one of another shape.
    Mismatch {
        /// The opening bracket.
        open: usize,
        /// The closing one.
        close: usize,
    },
    /// Brackets are nested too deeply.
    TooDeep(usize),
}

/// Cuts a text into tokens, and checks that brackets match and are nested within the limit.
pub fn tokens(text: &str) -> Result<Vec<Token>, Broken> {
    let bytes = text.as_bytes();
    let mut out = Vec::new();
    let mut open: Vec<usize> = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let start = at;
        let kind = match bytes[at] {
            b' ' | b'\t' | b'\n' | b'\r' => {
                at += 1;
                continue;
            }
            b'/' if matches!(bytes.get(at + 1), Some(b'/' | b'*')) => {
                at = comment(bytes, at)?;
                continue;
            }
            b'(' | b'[' | b'{' => {
                if open.len() == limits::NESTING {
                    return Err(Broken::TooDeep(at));
                }
                open.push(at);
                at += 1;
                TokenKind::Open
            }
            b')' | b']' | b'}' => {
                let from = open.pop().ok_or(Broken::NeverOpened(at))?;
                if closing(bytes[from]) != bytes[at] {
                    return Err(Broken::Mismatch { open: from, close: at });
                }
                at += 1;
                TokenKind::Close
            }
            b',' => {
                at += 1;
                TokenKind::Comma
            }
            b':' => {
                at += 1;
                TokenKind::Colon
            }
            _ => match quoted(bytes, at)? {
                Some(end) => {
                    at = end;
                    TokenKind::Text
                }
                None => {
                    at = word(bytes, at);
                    TokenKind::Word
                }
            },
        };
        assert!(at > start, "each token is at least one byte");
        out.push(Token { kind, start, end: at });
    }
    match open.last() {
        Some(&at) => Err(Broken::OpenBracket(at)),
        None => Ok(out),
    }
}

/// The bracket that closes this one.
fn closing(open: u8) -> u8 {
    match open {
        b'(' => b')',
        b'[' => b']',
        _ => b'}',
    }
}

/// The byte after the comment at `at`. Block comments nest.
fn comment(bytes: &[u8], at: usize) -> Result<usize, Broken> {
    if bytes[at + 1] == b'/' {
        return Ok(find(bytes, at, b'\n').unwrap_or(bytes.len()));
    }
    let mut level = 1;
    let mut i = at + 2;
    while level > 0 {
        match (bytes.get(i), bytes.get(i + 1)) {
            (None, _) => return Err(Broken::OpenComment(at)),
            (Some(b'/'), Some(b'*')) => {
                level += 1;
                i += 2;
            }
            (Some(b'*'), Some(b'/')) => {
                level -= 1;
                i += 2;
            }
            _ => i += 1,
        }
    }
    Ok(i)
}

/// The byte after the quoted text that begins at `at`, if one does: `"..."`, `b"..."`, `r#"..."#`, `br"..."`, `'c'`.
fn quoted(bytes: &[u8], at: usize) -> Result<Option<usize>, Broken> {
    let mut i = at;
    if bytes[i] == b'b' && matches!(bytes.get(i + 1), Some(b'"' | b'r')) {
        i += 1;
    }
    if bytes[i] == b'r' {
        let hashes = bytes[i + 1..].iter().take_while(|&&b| b == b'#').count();
        if bytes.get(i + 1 + hashes) == Some(&b'"') {
            return raw_string(bytes, i + 2 + hashes, hashes).map(Some).ok_or(Broken::OpenString(at));
        }
        return Ok(None);
    }
    match bytes[i] {
        b'"' => string(bytes, i + 1).map(Some).ok_or(Broken::OpenString(at)),
        b'\'' => Ok(character(bytes, i + 1)),
        _ => Ok(None),
    }
}

/// The byte after a string whose first character is at `i`.
fn string(bytes: &[u8], mut i: usize) -> Option<usize> {
    loop {
        match bytes.get(i)? {
            b'"' => return Some(i + 1),
            b'\\' => i += 2,
            _ => i += 1,
        }
    }
}

/// The byte after a raw string whose first character is at `i`.
fn raw_string(bytes: &[u8], mut i: usize, hashes: usize) -> Option<usize> {
    loop {
        let quote = find(bytes, i, b'"')?;
        let found = bytes[quote + 1..].iter().take(hashes).take_while(|&&b| b == b'#').count();
        if found == hashes {
            return Some(quote + 1 + hashes);
        }
        i = quote + 1 + found;
    }
}

/// The byte after a character literal whose content begins at `i`; none if a lone quote stands there.
fn character(bytes: &[u8], i: usize) -> Option<usize> {
    let from = if bytes.get(i) == Some(&b'\\') { i + 2 } else { i + 1 };
    // The longest escape is '\u{10FFFF}'.
    (from..from + 10).find(|&end| bytes.get(end) == Some(&b'\'')).map(|end| end + 1)
}

/// The byte after the word at `at`.
fn word(bytes: &[u8], at: usize) -> usize {
    let mut i = at + 1;
    while let Some(&b) = bytes.get(i) {
        let comment = b == b'/' && matches!(bytes.get(i + 1), Some(b'/' | b'*'));
        if comment || matches!(b, b' ' | b'\t' | b'\n' | b'\r' | b',' | b':' | b'"') || b"()[]{}".contains(&b) {
            break;
        }
        i += 1;
    }
    i
}

fn find(bytes: &[u8], from: usize, byte: u8) -> Option<usize> {
    bytes.get(from..)?.iter().position(|&b| b == byte).map(|i| from + i)
}
