//! The built command in a folder of its own.

// Each test binary uses a part of it.
#![allow(dead_code)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

/// A small scenario with a defect in it: every execution leaks.
pub const LEAK: &str = r#"(name: "a leak", topology: (event_loops: 1, business_threads: 2), seeds: 0..4, workload: [
    Close(name: "early close", awaits: Nothing),
    Phase(writes: 5, clients: Flood, message: Buffer(Exactly(B(64)))),
    Shutdown(),
], plant: [ForgottenRelease(Always)])"#;

/// The same, with this expectation.
pub fn expecting(expect: &str) -> String {
    LEAK.replace("(name: \"a leak\",", &format!("(name: \"a leak\", expect: {expect},"))
}

/// An empty folder of one test, removed at its end.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new(name: &str) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("cli-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).expect("a folder for the test");
        Self(path)
    }

    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        fs::write(self.0.join(name), content).expect("a file for the test");
    }

    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.0.join(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
    }

    /// Runs the command in this folder; it has nothing to simulate and answers at once.
    #[track_caller]
    pub fn run(&self, arguments: &[&str]) -> Ran {
        let begun = Instant::now();
        let ran = self.play(arguments);
        assert!(begun.elapsed() < Duration::from_secs(2), "{arguments:?} answers promptly");
        ran
    }

    /// Runs the command in this folder, however long it simulates.
    pub fn play(&self, arguments: &[&str]) -> Ran {
        Ran::from(self.command(arguments).output().expect("the command runs"))
    }

    /// Gives a line of a report to a shell, as a person does who pastes it; only the program is the one under test.
    #[track_caller]
    pub fn paste(&self, line: &str) -> Ran {
        let arguments = line.strip_prefix("cargo run -q --release -- ").unwrap_or_else(|| panic!("{line}"));
        let mut shell = Command::new("sh");
        shell.arg("-c").arg(format!("\"$MILLPOND\" {arguments}")).env("MILLPOND", env!("CARGO_BIN_EXE_millpond"));
        Ran::from(shell.current_dir(&self.0).stdin(Stdio::null()).output().expect("sh runs"))
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_millpond"));
        command.args(arguments).current_dir(&self.0).stdin(Stdio::null());
        command
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Ran {
    /// What follows `head` in the first line of the report that begins with it.
    #[track_caller]
    pub fn line(&self, head: &str) -> &str {
        let line = self.out.lines().find_map(|l| l.strip_prefix(head));
        line.unwrap_or_else(|| panic!("no line begins with {head:?} in\n{}{}", self.out, self.err))
    }
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).expect("output is UTF-8");
        Self { code: output.status.code().expect("an exit code"), out: text(output.stdout), err: text(output.stderr) }
    }
}

/// Bad input: exit code 2, nothing on standard output, this on standard error.
#[track_caller]
pub fn refused(ran: Ran, words: &str) {
    assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{}", ran.err);
    assert!(ran.err.contains(words), "{words:?} is not in\n{}", ran.err);
    assert!(!ran.err.contains('\u{1b}'), "no colours outside a terminal");
}

/// A scenario of this repository.
pub fn scenario(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios").join(name);
    fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}
