//! Tells the binary what it was built from, so that a finding names it: commit, whether the sources differ from it, compiler.

use std::path::Path;
use std::process::Command;

fn first_line(program: &str, args: &[&str]) -> Option<String> {
    let output = Command::new(program).args(args).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.lines().next().unwrap_or_default().to_string())
}

fn main() {
    for path in ["src", "build.rs", "../model/src", "../Cargo.lock"] {
        println!("cargo:rerun-if-changed={path}");
    }
    // Where commits are noted, which is elsewhere in a worktree or a submodule. Cargo takes what isn't there for changed, each time.
    for name in ["HEAD", "logs/HEAD"] {
        let path = first_line("git", &["rev-parse", "--git-path", name]);
        if let Some(path) = path.filter(|path| Path::new(path).exists()) {
            println!("cargo:rerun-if-changed={path}");
        }
    }
    let commit = match first_line("git", &["rev-parse", "--short=7", "HEAD"]) {
        Some(commit) => {
            let clean = first_line("git", &["status", "--porcelain", "--", ".", "../model", "../Cargo.lock"]);
            format!("{commit} {}", if clean.is_some_and(|l| l.is_empty()) { "clean" } else { "modified" })
        }
        None => "no commit".to_string(),
    };
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_string());
    let compiler = first_line(&rustc, &["--version"]).unwrap_or_else(|| "unknown rustc".to_string());
    let compiler = compiler.split_whitespace().take(2).collect::<Vec<_>>().join(" ");
    println!("cargo:rustc-env=MILLPOND_BUILT={commit}, {compiler}");
}
