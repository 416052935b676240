//! The lines of a trace, plain or gzipped.
//!
//! **Invariant: a trace is untrusted input**: whatever a path leads to is read within the limits, or refused with a reason.
//!
//! Which of the two a file is, its first bytes say, not its name.

use flate2::bufread::MultiGzDecoder;
use serde_json::Value;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Bytes of a line at most; the longest recorded one has some 3,000.
const LINE_BYTES: u64 = 4 << 20;

const GZIP: [u8; 2] = [0x1f, 0x8b];

/// One line's object.
pub struct Line(pub Value);

/// The lines of a file.
pub struct Lines {
    reader: Box<dyn BufRead>,
}

/// Opens a trace.
pub fn lines(path: &Path) -> Result<Lines, String> {
    let failed = |e: io::Error| words(&e);
    // Looked at before it is opened, and afterwards without waiting: it may be a pipe by now.
    regular(&fs::metadata(path).map_err(failed)?)?;
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path).map_err(failed)?;
    regular(&file.metadata().map_err(failed)?)?;
    let mut plain: BufReader<File> = BufReader::new(file);
    let packed = plain.fill_buf().map_err(failed)?.starts_with(&GZIP);
    let reader: Box<dyn BufRead> =
        if packed { Box::new(BufReader::new(MultiGzDecoder::new(plain))) } else { Box::new(plain) };
    Ok(Lines { reader })
}

fn regular(metadata: &fs::Metadata) -> Result<(), String> {
    if metadata.is_dir() {
        return Err("a directory; name the traces in it".into());
    }
    if metadata.is_file() { Ok(()) } else { Err("not a regular file; pipes and devices are not read".into()) }
}

fn words(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::NotFound => "there is no such file".into(),
        ErrorKind::UnexpectedEof => "its gzip data breaks off: the file is not whole".into(),
        // `os error 13` says nothing that the words before it don't.
        _ => error.to_string().split(" (os error").next().unwrap_or_default().to_lowercase(),
    }
}

impl Lines {
    /// The next line, if there is one.
    pub fn next(&mut self) -> Result<Option<Line>, String> {
        let mut line = Vec::new();
        let mut limited = self.reader.by_ref().take(LINE_BYTES + 1);
        limited.read_until(b'\n', &mut line).map_err(|e| words(&e))?;
        if line.is_empty() {
            return Ok(None);
        }
        if line.len() as u64 > LINE_BYTES {
            return Err("the line is too long: more than 4 MiB".into());
        }
        match serde_json::from_slice(&line) {
            Ok(value @ Value::Object(_)) => Ok(Some(Line(value))),
            Ok(_) => Err("it is not a JSON object; a trace has one in each line".into()),
            Err(error) => Err(format!("it is not a JSON object: {error}")),
        }
    }
}
