//! What the RON parser says, in the words of scenario files.
//!
//! **Invariant: a suggestion has been tried.** Where the parser only says that it stumbled, the text is parsed again with
//! a probe in that place; its answer tells what is wanted there, and a repair is offered only if it gets further.
//!
//! ```text
//!   faults: [PeerReset(0.5)]      "invalid std identifier"         what the parser says of the text
//!   faults: [PeerReset(probe)]    "no variant `probe` of `When`"   what it says of the probe
//!   × a `When` is needed here     help: write `Rate(0.5)`          what a person is told
//! ```

use ron::error::{Error, Position, SpannedError};
use std::ops::Range;

use super::diagnose::Problem;
use super::load::ron;
use super::tokens::{Token, TokenKind};
use crate::suggest::{grouped, nearest, one_of};

/// A word that no scenario contains for a reason.
const PROBE: &str = "millpond_probe";

/// The problem behind a parser's error.
pub fn explain(text: &str, tokens: &[Token], error: &SpannedError) -> Problem {
    let start = offset(text, error.span.start);
    let place = Place { text, tokens, at: token_at(tokens, start) };
    match &error.code {
        Error::NoSuchStructField { expected, found, outer } => place.field(found, outer.as_deref(), expected),
        Error::NoSuchEnumVariant { expected, found, outer } => place.variant(found, outer.as_deref(), expected),
        Error::MissingStructField { field, outer } => place.missing(field, outer.as_deref()),
        Error::DuplicateStructField { field, .. } => {
            place.problem(format!("`{field}` is given twice"), "again").help("keep one of the two")
        }
        Error::ExpectedDifferentStructName { expected, found } => place.struct_name(expected, found),
        Error::ExpectedNamedStructLike("Scenario") => place
            .problem("a scenario stands in parentheses", "expected `(`")
            .help("the smallest one is  ( name: \"first run\" )"),
        Error::SuggestRawIdentifier(_) | Error::ExpectedIdentifier => place.unidentified(),
        Error::ExpectedStructLike | Error::ExpectedNamedStructLike(_) => place.bare_variant(),
        Error::ExpectedComma | Error::ExpectedStructLikeEnd | Error::ExpectedArrayEnd => place.separator(start),
        Error::ExpectedInteger => place.not_a_number(),
        Error::ExpectedFloat => place.problem("a number is needed here", "not a number"),
        Error::IntegerOutOfBounds => place.out_of_bounds(),
        Error::ExpectedString => {
            let word = place.word();
            place.problem("text in quotes is needed here", "not in quotes").help(format!("write `\"{word}\"`"))
        }
        Error::ExpectedArray => place.problem("a list in `[` and `]` is needed here", "not a list"),
        Error::TrailingCharacters => place.problem("something follows the scenario's end", "unexpected"),
        Error::ExpectedRangeSyntax => place.range(),
        Error::Message(words) if words.contains("`..=`") => place.closed_range(),
        other => place.problem(plain(&other.to_string()), "here"),
    }
}

/// The token that the parser stumbled over.
struct Place<'a> {
    text: &'a str,
    tokens: &'a [Token],
    at: usize,
}

impl Place<'_> {
    fn span(&self) -> Range<usize> {
        self.tokens.get(self.at).map_or(self.text.len()..self.text.len(), |t| t.span())
    }

    fn word(&self) -> &str {
        &self.text[self.span()]
    }

    /// The token before, and its text.
    fn before(&self) -> Option<(Token, &str)> {
        let token = *self.tokens.get(self.at.checked_sub(1)?)?;
        Some((token, &self.text[token.span()]))
    }

    fn problem(&self, message: impl Into<String>, label: impl Into<String>) -> Problem {
        Problem::new(message).at(super::locate::first_line(self.text, self.span()), label)
    }

    /// An unknown field.
    fn field(&self, found: &str, outer: Option<&str>, fields: &'static [&'static str]) -> Problem {
        let outer = outer.unwrap_or("this");
        let problem = self.problem(format!("`{outer}` has no field `{found}`"), "unknown field");
        if let Some(field) = nearest(found, fields.iter().copied()) {
            return problem.help(format!("did you mean `{field}`?"));
        }
        match (fields, self.unit_value()) {
            // `Pojo(B(512))`: the only field's name is missing.
            ([field], Some(value)) => problem.help(format!("write `{outer}({field}: {value})`")),
            _ => problem.help(format!("its fields are {}", one_of(fields.iter().copied()).replace(" or ", " and "))),
        }
    }

    /// An unknown variant.
    fn variant(&self, found: &str, outer: Option<&str>, variants: &'static [&'static str]) -> Problem {
        let outer = outer.unwrap_or("choice");
        let (what, label) = match outer {
            "Size" | "Span" => (format!("`{found}` is not a unit of a `{outer}`"), "unknown unit"),
            _ => (format!("there is no `{outer}` called `{found}`"), "unknown name"),
        };
        let problem = self.problem(what, label);
        if let (true, Some(value)) = (outer == "Payload", self.unit_value()) {
            return problem.help(format!("write `Exactly({value})`"));
        }
        let all = match variants {
            [only] => format!("only `{only}` is possible"),
            _ => format!("possible are {}", one_of(variants.iter().copied()).replace(" or ", " and ")),
        };
        match repaired(outer, found, variants) {
            Some(name) if variants.len() <= 6 => problem.help(format!("did you mean `{name}`? {all}")),
            Some(name) => problem.help(format!("did you mean `{name}`?")),
            None => problem.help(all),
        }
    }

    /// A missing field. The parser notices at the closing bracket; the opening one is where a reader looks.
    fn missing(&self, field: &str, outer: Option<&str>) -> Problem {
        let is_close = self.tokens.get(self.at).is_some_and(|t| t.kind == TokenKind::Close);
        let close = if is_close { self.at } else { self.at.saturating_sub(1) };
        let open = opening(self.tokens, close);
        let mut span = self.tokens[open].span();
        if let Some(name) = open.checked_sub(1).map(|i| self.tokens[i]).filter(|t| t.end == span.start) {
            span.start = name.start;
        }
        if outer == Some("Scenario") {
            let problem = Problem::new(format!("the scenario has no `{field}`")).at(span, "in here");
            return problem.help("only `name` is required: say what the scenario shows, such as  name: \"first run\"");
        }
        let outer = outer.unwrap_or("this");
        Problem::new(format!("`{outer}` needs the field `{field}`")).at(span, format!("`{field}` is missing in here"))
    }

    /// Another name than that of the only possible struct.
    fn struct_name(&self, expected: &str, found: &str) -> Problem {
        match expected {
            "Scenario" if self.tokens.get(self.at + 1).is_some_and(|t| t.kind != TokenKind::Open) => self
                .problem("a scenario stands in parentheses", "expected `(`")
                .help("the smallest one is  ( name: \"first run\" )"),
            _ => self
                .problem(format!("`{expected}` is needed here, not `{found}`"), "another name")
                .help(format!("write `{expected}(...)`, or the parentheses without a name")),
        }
    }

    /// Something that is not an identifier where a name is needed.
    fn unidentified(&self) -> Problem {
        let found = self.word().to_string();
        if let Some(pair) = self.pair() {
            return pair;
        }
        match self.probe(self.span(), PROBE) {
            Some(Wanted::Variant(of, variants)) => self.wanted(&of, variants, &found),
            Some(Wanted::Field(of, _)) if of == "Range" => self.range(),
            Some(Wanted::Field(of, fields)) => self
                .problem(format!("`{of}` has named fields"), "a field's name is needed here")
                .help(format!("write `{of}({}: {found})`", fields[0])),
            None => self.problem("a name is needed here", "not a name"),
        }
    }

    /// `(ForgottenRelease, Always)` where one of an enum's variants is needed: the name stands before the parenthesis.
    fn pair(&self) -> Option<Problem> {
        let [open, name, comma, rest @ ..] = self.tokens.get(self.at..)? else { return None };
        let is_pair = (open.kind, name.kind, comma.kind) == (TokenKind::Open, TokenKind::Word, TokenKind::Comma)
            && !rest.is_empty();
        let close = (self.at..self.tokens.len())
            .find(|&i| self.tokens[i].kind == TokenKind::Close && opening(self.tokens, i) == self.at)?;
        let all = open.start..self.tokens[close].end;
        let Some(Wanted::Variant(of, _)) = self.probe(all.clone(), PROBE).filter(|_| is_pair) else { return None };
        let inside = self.text[comma.end..self.tokens[close].start].trim();
        let repair = format!("{}({inside})", &self.text[name.span()]);
        let shown = super::locate::first_line(self.text, all.clone());
        let problem = Problem::new(format!("{} `{of}` is needed here, not a pair", article(&of)))
            .at(shown, "the name stands before the parenthesis");
        self.gets_further(all, &repair).then(|| problem.help(format!("write `{}`", head(&repair))))
    }

    /// `found` stands where one of an enum's variants is needed.
    fn wanted(&self, of: &str, variants: &'static [&'static str], found: &str) -> Problem {
        let article = article(of);
        let problem =
            self.problem(format!("{article} `{of}` is needed here, not `{found}`"), format!("not {article} `{of}`"));
        let found = found.trim_matches('"');
        let repair = match of {
            "Size" => Some(with_unit(found, variants, "KiB")),
            "Span" => Some(with_unit(found, variants, "Ms")),
            "When" if found.parse::<u64>().is_ok_and(|n| n > 1) => Some(format!("Nth({found})")),
            "When" => Some(format!("Rate({found})")),
            _ => repaired(of, found, variants).map(str::to_string),
        };
        match repair.filter(|repair| self.gets_further(self.span(), repair)) {
            Some(repair) => problem.help(format!("write `{repair}`")),
            None => problem.help(format!("possible are {}", one_of(variants.iter().copied()).replace(" or ", " and "))),
        }
    }

    /// A variant without its parentheses.
    fn bare_variant(&self) -> Problem {
        let Some((name, word)) = self.before().filter(|(t, _)| t.kind == TokenKind::Word) else {
            return self.problem("`(` is needed here", "expected `(`");
        };
        let problem = Problem::new(format!("`{word}` needs parentheses")).at(name.span(), "expected `(` after this");
        let after = name.end..name.end;
        if self.gets_further(after.clone(), "()") {
            return problem.help(format!("write `{word}()`"));
        }
        match self.probe(after.clone(), &format!("({PROBE})")) {
            Some(Wanted::Variant(_, variants)) => {
                // The first that needs nothing itself: `Always` rather than `Rate(...)`.
                let whole = variants.iter().find(|v| self.gets_further(after.clone(), &format!("({v})")));
                problem.help(format!("write `{word}({})`", whole.unwrap_or(&variants[0])))
            }
            Some(Wanted::Field(_, fields)) => problem.help(format!("write `{word}({}: ...)`", fields[0])),
            None => problem.help(format!("write `{word}(...)`")),
        }
    }

    /// Neither a comma nor the end.
    fn separator(&self, start: usize) -> Problem {
        let span = self.span();
        if start > span.start && self.word().contains('.') && self.word().parse::<f64>().is_ok() {
            return self.problem("a whole number is needed here", "not a whole number");
        }
        match self.before() {
            Some((before, _)) if self.tokens[self.at].kind != TokenKind::Comma => {
                let message = format!("a comma is missing before `{}`", head(self.word()));
                Problem::new(message).at(before.end..before.end + 1, "expected `,`")
            }
            _ => self.problem("too many values", "expected the closing bracket"),
        }
    }

    fn not_a_number(&self) -> Problem {
        let problem = self.problem("a whole number is needed here", "not a whole number");
        let bytes = self.unit_value().and_then(|value| ::ron::from_str::<super::Size>(value).ok());
        match bytes.and_then(super::Size::checked_bytes) {
            Some(bytes) => problem.help(format!("write it without a unit: {}", grouped(bytes.into()))),
            None => problem,
        }
    }

    fn out_of_bounds(&self) -> Problem {
        let word = self.word();
        if word.starts_with('-') {
            return self.problem(format!("`{word}` is below zero"), "cannot be negative");
        }
        let largest = if self.gets_further(self.span(), "4294967296") { u64::MAX } else { u32::MAX.into() };
        let problem = self.problem(format!("`{}` is too large", head(word)), "out of range");
        problem.help(format!("the largest number that fits here is {}", grouped(largest.into())))
    }

    fn range(&self) -> Problem {
        let problem = self.problem("a range is needed here", "not a range");
        match self.word().parse::<u64>() {
            Ok(n) if n > 0 => problem.help(format!("write `0..{n}`, which ends before {n}")),
            _ => problem.help("write `0..4`, which ends before 4"),
        }
    }

    fn closed_range(&self) -> Problem {
        let word = self.word();
        let problem = self.problem("a range is written `a..b` and ends before b", "`..=` is not possible");
        let ends = word.split_once("..=").and_then(|(a, b)| Some((a, b.parse::<u64>().ok()?.checked_add(1)?)));
        match ends {
            Some((from, to)) => problem.help(format!("write `{from}..{to}`")),
            None => problem,
        }
    }

    /// `KiB(64)`, if that is what begins at this place.
    fn unit_value(&self) -> Option<&str> {
        const UNITS: [&str; 8] = ["B", "KiB", "MiB", "GiB", "Ns", "Us", "Ms", "S"];
        let close = self.tokens.get(self.at + 3).filter(|t| t.kind == TokenKind::Close)?;
        let is_value = UNITS.contains(&self.word()) && self.tokens[self.at + 1].kind == TokenKind::Open;
        is_value.then(|| &self.text[self.span().start..close.end])
    }

    /// What the parser wants in a place, by its answer to a probe there.
    fn probe(&self, span: Range<usize>, probe: &str) -> Option<Wanted> {
        match ron(&self.with(span, probe)).err()?.code {
            Error::NoSuchEnumVariant { expected, found, outer } if found == PROBE => {
                Some(Wanted::Variant(outer?, expected))
            }
            Error::NoSuchStructField { expected, found, outer } if found == PROBE => {
                Some(Wanted::Field(outer?, expected))
            }
            _ => None,
        }
    }

    /// Whether the parser gets past a place if `repair` stands there.
    fn gets_further(&self, span: Range<usize>, repair: &str) -> bool {
        let end = span.start + repair.len();
        let text = self.with(span, repair);
        ron(&text).map_or_else(|error| offset(&text, error.span.start) >= end, |_| true)
    }

    fn with(&self, span: Range<usize>, words: &str) -> String {
        format!("{}{words}{}", &self.text[..span.start], &self.text[span.end..])
    }
}

/// What the parser wants.
enum Wanted {
    /// One of these variants of an enum.
    Variant(String, &'static [&'static str]),
    /// One of these fields of a struct.
    Field(String, &'static [&'static str]),
}

/// The indefinite article of a name.
fn article(name: &str) -> &'static str {
    if name.starts_with(['A', 'E', 'I', 'O', 'U']) { "an" } else { "a" }
}

/// The variant that is meant.
fn repaired(of: &str, found: &str, variants: &[&'static str]) -> Option<&'static str> {
    let release = || if of == "Preset" { release_before(found, variants) } else { None };
    unit(found, variants).or_else(release).or_else(|| nearest(found, variants.iter().copied()))
}

/// A release behaves like the last preset before it: 4.1.9 like `Netty4_1_8`.
fn release_before(found: &str, presets: &[&'static str]) -> Option<&'static str> {
    let numbers = |name: &str| -> Vec<u64> {
        name.split(|c: char| !c.is_ascii_digit()).filter_map(|digits| digits.parse().ok()).collect()
    };
    let wanted = numbers(found);
    let older = presets.iter().map(|p| (numbers(p), *p)).filter(|(n, _)| n.len() == 3 && *n <= wanted);
    older.max().map(|(_, preset)| preset)
}

/// The unit that people mean by another name.
fn unit(found: &str, variants: &[&'static str]) -> Option<&'static str> {
    let unit = match found.to_lowercase().as_str() {
        "byte" | "bytes" => "B",
        "k" | "kb" | "kib" => "KiB",
        "m" | "mb" | "mib" => "MiB",
        "g" | "gb" | "gib" => "GiB",
        "ns" | "nanos" | "nanoseconds" => "Ns",
        "us" | "µs" | "micros" | "microseconds" => "Us",
        "ms" | "millis" | "milliseconds" => "Ms",
        "s" | "sec" | "secs" | "second" | "seconds" => "S",
        _ => return None,
    };
    variants.iter().copied().find(|v| *v == unit)
}

/// `64`, `64KiB`, `64 kb` as a value with a unit.
fn with_unit(found: &str, variants: &[&'static str], default: &'static str) -> String {
    let digits = found.len() - found.trim_start_matches(|c: char| c.is_ascii_digit() || c == '_').len();
    let (number, rest) = found.split_at(digits);
    format!("{}({number})", unit(rest.trim(), variants).unwrap_or(default))
}

/// The first characters of what may be long.
fn head(word: &str) -> String {
    match word.char_indices().nth(40) {
        Some((end, _)) => format!("{}...", &word[..end]),
        None => word.to_string(),
    }
}

/// A parser's message as ours begin: in lower case.
fn plain(message: &str) -> String {
    let mut chars = message.chars();
    chars.next().map_or(String::new(), |first| first.to_lowercase().chain(chars).collect())
}

/// The byte at a line and a column, both counted from 1, the column in characters.
fn offset(text: &str, position: Position) -> usize {
    let line: usize = text.split_inclusive('\n').take(position.line.saturating_sub(1)).map(str::len).sum();
    let rest = &text[line..];
    line + rest.char_indices().nth(position.col.saturating_sub(1)).map_or(rest.len(), |(at, _)| at)
}

/// The token at a byte, or the first after it, or the last.
fn token_at(tokens: &[Token], at: usize) -> usize {
    assert!(!tokens.is_empty(), "a text without tokens is not parsed");
    tokens.partition_point(|t| t.end <= at).min(tokens.len() - 1)
}

/// The bracket that the one at `close` closes.
fn opening(tokens: &[Token], close: usize) -> usize {
    let mut depth = 0;
    for i in (0..=close).rev() {
        match tokens[i].kind {
            TokenKind::Close => depth += 1,
            TokenKind::Open if depth <= 1 => return i,
            TokenKind::Open => depth -= 1,
            _ => {}
        }
    }
    0
}
