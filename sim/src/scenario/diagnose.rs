//! What is wrong with a scenario file, and how that is shown.
//!
//! **Invariant: what is printed depends on the file and its path only**, not on the terminal's width or the locale; colour
//! is added only on demand, and no control character of the file reaches the terminal.
//!
//! ```text
//!   × `Topology` has no field `event_loop`
//!    ╭─[scenarios/typo.ron:3:16]
//!  2 │     name: "typo",
//!  3 │     topology: (event_loop: 4),
//!    ·                ─────┬────
//!    ·                     ╰── unknown field
//!    ╰────
//!   help: did you mean `event_loops`?
//! ```

use miette::{Diagnostic, GraphicalReportHandler, GraphicalTheme, LabeledSpan, SourceCode};
use miette::{MietteError, MietteSpanContents, SourceSpan, SpanContents};
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Columns of text that a report takes.
const WIDTH: usize = 100;
/// A longer line is not shown whole.
const LINE_BYTES: usize = 160;

/// A longer place is not underlined to its end.
const SPAN_BYTES: usize = 100;

/// One thing that is wrong with a file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problem {
    /// What is wrong.
    pub message: String,
    /// Where, in bytes; none if the file wasn't read.
    pub span: Option<Range<usize>>,
    /// What to say at that place.
    pub label: String,
    /// What to do about it.
    pub help: Option<String>,
}

impl Problem {
    /// A problem of the whole file.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), span: None, label: "here".to_string(), help: None }
    }
    /// ... at this place.
    pub fn at(mut self, span: Range<usize>, label: impl Into<String>) -> Self {
        self.span = Some(span);
        self.label = label.into();
        self
    }
    /// ... with this advice.
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// Whether a report is coloured.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Colour {
    /// For a terminal.
    Ansi,
    /// For anything else, and where `NO_COLOR` is set.
    None,
}

/// Why a scenario was not loaded: at least one problem.
#[derive(Clone, Debug)]
pub struct LoadError {
    path: PathBuf,
    text: String,
    problems: Vec<Problem>,
}

impl LoadError {
    /// The problems of the file at `path`, which reads `text` (empty if it could not be read).
    ///
    /// # Panics
    /// If there are none.
    pub fn new(path: &Path, text: &str, mut problems: Vec<Problem>) -> Self {
        assert!(!problems.is_empty(), "an error says what is wrong");
        problems.sort_by_key(|p| p.span.as_ref().map_or(0, |s| s.start));
        Self { path: path.to_path_buf(), text: text.to_string(), problems }
    }

    /// What is wrong, in the order of the text.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// Line and column of a problem, both counted from 1, the column in characters.
    pub fn position(&self, problem: &Problem) -> Option<(usize, usize)> {
        let span = problem.span.as_ref()?;
        let (line, column) = line_column(&self.text, span.start);
        Some((line + 1, column + 1))
    }

    /// The report, ready to be printed.
    pub fn render(&self, colour: Colour) -> String {
        let theme = match colour {
            Colour::Ansi => GraphicalTheme::unicode(),
            Colour::None => GraphicalTheme::unicode_nocolor(),
        };
        let handler = GraphicalReportHandler::new_themed(theme).with_links(false).with_width(WIDTH);
        let mut out = String::new();
        for problem in &self.problems {
            let shown = Shown { problem, source: Source { error: self } };
            handler.render_report(&mut out, &shown).expect("writing to a string cannot fail");
        }
        if self.problems.len() > 1 {
            out += &format!("{} problems in {}\n", self.problems.len(), printable(&self.path));
        }
        out
    }
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(Colour::None))
    }
}

impl std::error::Error for LoadError {}

/// A path without control characters.
pub fn printable(path: &Path) -> String {
    path.to_string_lossy().replace(char::is_control, "?")
}

/// Whether a character may move the cursor, change colours, or reorder what follows on a terminal.
pub fn is_treacherous(c: char) -> bool {
    let invisible =
        matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    invisible || c == '\u{feff}' || (c.is_control() && !matches!(c, '\n' | '\t'))
}

/// A text of the same length in bytes that is safe to print.
pub fn tamed(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if is_treacherous(c) && c != '\r' {
            out.extend(std::iter::repeat_n('?', c.len_utf8()));
        } else if c == '\r' {
            out.push(' ');
        } else {
            out.push(c);
        }
    }
    out
}

/// Line and column of a byte, both counted from 0, the column in characters.
fn line_column(text: &str, at: usize) -> (usize, usize) {
    let at = floor(text, at);
    let start = text[..at].rfind('\n').map_or(0, |i| i + 1);
    (text[..start].matches('\n').count(), text[start..at].chars().count())
}

/// The nearest character boundary at or before `at`.
fn floor(text: &str, at: usize) -> usize {
    let at = at.min(text.len());
    (0..=at).rev().find(|&i| text.is_char_boundary(i)).unwrap_or(0)
}

/// A problem as miette wants it.
struct Shown<'a> {
    problem: &'a Problem,
    source: Source<'a>,
}

impl fmt::Debug for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.problem.fmt(f)
    }
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.problem.message)
    }
}

impl std::error::Error for Shown<'_> {}

impl Diagnostic for Shown<'_> {
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.problem.help.as_ref().map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }
    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.problem.span.is_some().then_some(&self.source)
    }
    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let mut span = self.problem.span.clone()?;
        span.end = floor(&self.source.error.text, span.end.min(span.start + SPAN_BYTES));
        let label = LabeledSpan::new_primary_with_span(Some(self.problem.label.clone()), span);
        Some(Box::new(std::iter::once(label)))
    }
}

/// The text around a problem: its line and the one before and after, or a part of its line if that is long.
struct Source<'a> {
    error: &'a LoadError,
}

impl Source<'_> {
    fn window(&self, start: usize, end: usize) -> Range<usize> {
        let text = self.error.text.as_str();
        let line = |at: usize| {
            let from = text[..at].rfind('\n').map_or(0, |i| i + 1);
            from..text[at..].find('\n').map_or(text.len(), |i| at + i)
        };
        let mut window = line(start);
        if window.len() > LINE_BYTES {
            let from = floor(text, start.saturating_sub(LINE_BYTES - SPAN_BYTES)).max(window.start);
            let to = floor(text, end + LINE_BYTES - SPAN_BYTES).min(window.end);
            return from..to.max(start);
        }
        if window.start > 0 && line(window.start - 1).len() <= LINE_BYTES {
            window.start = line(window.start - 1).start;
        }
        if window.end < text.len() && line(window.end + 1).len() <= LINE_BYTES {
            window.end = line(window.end + 1).end;
        }
        window
    }
}

impl SourceCode for Source<'_> {
    fn read_span<'a>(
        &'a self,
        span: &SourceSpan,
        lines_before: usize,
        _lines_after: usize,
    ) -> Result<Box<dyn SpanContents<'a> + 'a>, MietteError> {
        let text = self.error.text.as_str();
        let start = floor(text, span.offset());
        let end = floor(text, span.offset() + span.len()).max(start);
        // Without context miette only wants to know line and column of the span.
        let shown = if lines_before == 0 { start..end } else { self.window(start, end) };
        let (line, column) = line_column(text, shown.start);
        let column = if lines_before == 0 { column } else { 0 };
        let place = SourceSpan::new(shown.start.into(), shown.len());
        let data = &text.as_bytes()[shown];
        let name = printable(&self.error.path);
        Ok(Box::new(MietteSpanContents::new_named(name, data, place, line, column, 1)))
    }
}
