//! `millpond conform`: traces of real Netty against the model, and files that are no traces.

mod support;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use support::{Folder, Ran, refused};

/// A recorded trace: its text.
fn golden(name: &str) -> String {
    let path = golden_path(name);
    let file = fs::File::open(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let mut text = String::new();
    flate2::read::GzDecoder::new(file).read_to_string(&mut text).expect("gzip");
    text
}

fn golden_path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden").join(format!("{name}.jsonl.gz"))
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    packed.write_all(text).expect("memory");
    packed.finish().expect("memory")
}

/// A trace of one thread and one recycler, as 4.1.118 would have written it.
fn header() -> Value {
    json!({
        "fmt": "netty-lockstep/1", "netty": "4.1.118", "gen": "B2",
        "cfg": {
            "name": "tiny", "domain": "recycler", "threads": 1, "ftl": 1, "exit": "removeAll", "nrec": 1, "maxCap": 8,
            "msf": 2, "ratio": 1, "mdq": 4, "dqr": 1, "chunk": 2,
        },
        "statics": {}, "recyclers": ["r0"],
    })
}

/// A get and its recycle; their statistics are not compared.
fn tiny(header: &Value) -> Vec<String> {
    vec![
        header.to_string(),
        r#"{"i":0,"op":"get","t":0,"r":0,"h":0,"res":{"o":0,"new":1,"pooled":1}}"#.into(),
        r#"{"i":1,"op":"rec","t":0,"h":0,"res":{"o":0,"fate":"own"}}"#.into(),
        r#"{"end":1,"ops":2,"uncontrolled_gcs":0}"#.into(),
    ]
}

fn with_line(at: usize, line: &str) -> String {
    let mut lines = tiny(&header());
    lines[at] = line.into();
    lines.join("\n")
}

fn with_cfg(name: &str, value: impl Into<Value>) -> String {
    let mut header = header();
    header["cfg"][name] = value.into();
    tiny(&header).join("\n")
}

#[test]
fn a_trace_is_recognised_by_its_content() {
    let folder = Folder::new("conform");
    let text = tiny(&header()).join("\n");
    folder.write("plain.jsonl", &text);
    folder.write("plain.gz", &text);
    folder.write("packed.jsonl", gzip(text.as_bytes()));
    folder.write("two members", [gzip(&text.as_bytes()[..99]), gzip(&text.as_bytes()[99..])].concat());
    let ran = folder.run(&["conform", "plain.jsonl", "plain.gz", "packed.jsonl", "two members"]);
    let line = |file: &str| format!("ok  tiny 4.1.118                    2 operations  {file}\n");
    let expected = ["plain.jsonl", "plain.gz", "packed.jsonl", "two members"].map(line).concat();
    assert_eq!((ran.code, ran.out, ran.err.as_str()), (0, expected, ""));
}

#[test]
fn the_first_difference_is_told_and_the_other_files_too() {
    let folder = Folder::new("conform-differs");
    folder.write("ok.jsonl", tiny(&header()).join("\n"));
    folder.write("new.jsonl", with_line(1, r#"{"i":0,"op":"get","t":0,"r":0,"h":0,"res":{"o":0,"new":0,"pooled":1}}"#));
    let recorded = golden("chunk2.4.1.118");
    let line = recorded.lines().nth(200).expect("a line");
    let mut changed: Value = serde_json::from_str(line).expect("JSON");
    let right = changed["st"]["p"][1]["mq"].as_i64().expect("a statistic");
    changed["st"]["p"][1]["mq"] = (right + 1).into();
    let changed = recorded.replacen(line, &changed.to_string(), 1);
    folder.write("mq.jsonl", &changed);
    let ran = folder.run(&["conform", "new.jsonl", "mq.jsonl", "ok.jsonl"]);
    let lines: Vec<&str> = ran.out.lines().collect();
    assert_eq!((ran.code, ran.err.as_str(), lines.len()), (1, "", 3), "{}", ran.out);
    let operation = r#"{"h":0,"i":0,"op":"get","r":0,"t":0}"#;
    assert_eq!(lines[0], format!("DIFFERS  new.jsonl line 2, operation {operation}: res.new: trace 0, here 1"));
    let what = format!(": st.p[1].mq: trace {}, here {right}", right + 1);
    assert!(
        lines[1].starts_with("DIFFERS  mq.jsonl line 201, operation {") && lines[1].ends_with(&what),
        "{}",
        lines[1]
    );
    assert!(lines[2].starts_with("ok  tiny 4.1.118"), "{}", lines[2]);
    // A field that only the trace has, and one that only we have.
    for (change, what) in [
        (r#""fate":"own","more":1"#, "res.more: trace 1, here nothing"),
        (r#""x":0"#, "res.fate: trace nothing, here \"own\""),
    ] {
        folder.write("field.jsonl", with_line(2, &tiny(&header())[2].replace(r#""fate":"own""#, change)));
        let ran = folder.run(&["conform", "field.jsonl"]);
        assert!(ran.code == 1 && ran.out.ends_with(&format!("{what}\n")), "{}", ran.out);
    }
}

#[test]
fn json_has_an_object_a_file_and_a_summary() {
    let folder = Folder::new("conform-json");
    folder.write("ok.jsonl", tiny(&header()).join("\n"));
    folder.write("differs.jsonl", with_line(2, r#"{"i":1,"op":"rec","t":0,"h":0,"res":{"o":1,"fate":"own"}}"#));
    folder.write("bad.jsonl", with_line(2, "[]"));
    let ran = folder.run(&["conform", "--json", "ok.jsonl", "differs.jsonl", "bad.jsonl"]);
    assert_eq!((ran.code, ran.err.as_str()), (2, ""));
    let lines: Vec<Value> = ran.out.lines().map(|l| serde_json::from_str(l).expect("JSON")).collect();
    let expected = json!([
        { "v": 1, "kind": "trace", "file": "ok.jsonl", "result": "reproduced", "netty": "4.1.118", "name": "tiny",
          "operations": 2 },
        { "v": 1, "kind": "trace", "file": "differs.jsonl", "result": "differs", "line": 3,
          "operation": r#"{"h":0,"i":1,"op":"rec","t":0}"#, "what": "res.o", "trace": "1", "here": "0" },
        { "v": 1, "kind": "trace", "file": "bad.jsonl", "result": "unusable", "line": 3,
          "reason": "it is not a JSON object; a trace has one in each line" },
        { "v": 1, "kind": "summary", "files": 3, "reproduced": 1, "differ": 1, "unusable": 1, "operations": 2 },
    ]);
    assert_eq!(Value::Array(lines), expected);
}

#[test]
fn results_depend_neither_on_jobs_nor_on_the_platform() {
    let folder = Folder::new("conform-jobs");
    let names = ["chunk2.4.1.118", "double.4.0.43", "death_owner.4.1.68", "cap0.4.0.43", "chunk2.4.2.7"];
    let paths = names.map(|name| golden_path(name).to_string_lossy().into_owned());
    let run = |more: &[&str]| {
        let files = paths.iter().map(String::as_str);
        folder.play(&["conform"].into_iter().chain(more.iter().copied()).chain(files).collect::<Vec<_>>())
    };
    let ran = run(&["--jobs", "1"]);
    assert_eq!((ran.code, ran.err.as_str(), ran.out.lines().count()), (0, "", names.len()), "{}", ran.out);
    assert!(ran.out.starts_with("ok  chunk2 4.1.118                700 operations  /"), "{}", ran.out);
    assert_eq!(run(&["--jobs", "8"]).out, ran.out);
    assert_eq!(run(&["--platform", "sim"]).out, ran.out);
}

/// The line's number is in the complaint where a line is at fault.
#[test]
fn what_is_no_trace_is_refused_with_its_place() {
    let folder = Folder::new("conform-bad");
    let lines = tiny(&header());
    let whole = lines.join("\n");
    let cases: [(String, &str); 22] = [
        (String::new(), "bad line 1: it is empty"),
        ("hello".into(), "bad line 1: it is not a JSON object: expected value"),
        ("{}".into(), "bad line 1: it is not a trace of format netty-lockstep/1"),
        (r#"{"fmt":"netty-lockstep/1"}"#.into(), "bad line 1: the header has no text `gen`"),
        (lines[..2].join("\n"), "bad: it breaks off after 1 operations: the line that ends a trace is missing"),
        (lines[0].clone(), "bad: it breaks off after 0 operations"),
        (whole[..whole.len() - 5].into(), "bad line 4: it is not a JSON object: EOF"),
        (format!("{whole}\n{}", lines[3]), "bad line 5: there is a line after the last one"),
        (with_line(3, r#"{"end":1,"ops":3}"#), "bad line 4: it ends after 2 operations and says otherwise"),
        (with_line(1, ""), "bad line 2: it is not a JSON object"),
        (with_line(1, &"[".repeat(100_000)), "bad line 2: it is not a JSON object: recursion limit"),
        (with_line(1, &" ".repeat(5 << 20)), "bad line 2: the line is too long: more than 4 MiB"),
        (with_line(1, r#"{"i":1,"op":"gc","res":{}}"#), "bad line 2: operation 1 where number 0 should be"),
        (with_line(1, r#"{"op":"gc","res":{}}"#), "bad line 2: no number `i` of the operation"),
        (with_line(1, r#"{"i":0,"res":{}}"#), "bad line 2: no operation `op`"),
        (with_line(1, r#"{"i":0,"op":"gc"}"#), "bad line 2: no result `res`"),
        (with_line(1, r#"{"i":0,"op":"fly","res":{}}"#), "bad line 2: unknown operation `fly`"),
        (with_line(1, r#"{"i":0,"op":"get","r":0,"h":0,"res":{}}"#), "bad line 2: `get` without a number `t`"),
        (with_line(1, r#"{"i":0,"op":"get","t":7,"r":0,"h":0,"res":{}}"#), "bad line 2: there is no thread 7"),
        (with_line(1, r#"{"i":0,"op":"get","t":0,"r":1,"h":0,"res":{}}"#), "bad line 2: there is no recycler 1"),
        (with_line(1, r#"{"i":0,"op":"spawn","t":0,"res":{}}"#), "bad line 2: thread 0 is there already"),
        (with_line(1, r#"{"i":0,"op":"get","t":0,"r":-1,"h":0,"res":{}}"#), "`get` without a number `r`"),
    ];
    for (text, words) in cases {
        folder.write("bad", &text);
        refused(folder.run(&["conform", "bad"]), words);
        folder.write("bad", gzip(text.as_bytes()));
        refused(folder.run(&["conform", "bad"]), words);
    }
    folder.write("bad", b"{\"fmt\": \"\xff\xfe\"}");
    refused(folder.run(&["conform", "bad"]), "bad line 1: it is not a JSON object");
    let packed = gzip(&golden("chunk2.4.1.118").into_bytes());
    folder.write("bad", &packed[..packed.len() / 2]);
    refused(folder.run(&["conform", "bad"]), "its gzip data breaks off: the file is not whole");
    folder.write("bad", &packed[..packed.len() - 4]);
    refused(folder.run(&["conform", "bad"]), "its gzip data breaks off: the file is not whole");
    let sum = packed.len() - 8;
    folder.write("bad", [&packed[..sum], &[packed[sum] ^ 1], &packed[sum + 1..]].concat());
    refused(folder.run(&["conform", "bad"]), "corrupt gzip");
    folder.write("bad", [&packed[..], b"more"].concat());
    refused(folder.run(&["conform", "bad"]), "bad line 703: its gzip data breaks off");
    let name = Folder::new("conform-name");
    name.write("a\u{1b}[31m.jsonl", "");
    refused(name.run(&["conform", "a\u{1b}[31m.jsonl"]), "a?[31m.jsonl line 1: it is empty");
}

#[test]
fn headers_have_limits() {
    let folder = Folder::new("conform-limits");
    let huge = 1_u64 << 40;
    for (name, limit) in [
        ("threads", "1000"),
        ("nrec", "1000"),
        ("maxCap", "16777216"),
        ("ratio", "1073741824"),
        ("chunk", "4294967295"),
    ] {
        folder.write("bad", with_cfg(name, huge));
        refused(folder.run(&["conform", "bad"]), &format!("bad line 1: `{name}` is {huge}, and the limit is {limit}"));
        folder.write("bad", with_cfg(name, "many"));
        refused(folder.run(&["conform", "bad"]), &format!("bad line 1: the header has no number `{name}`"));
    }
    let mut old = header();
    old["gen"] = "A1".into();
    for (name, limit) in [("LINK_CAPACITY", "65536"), ("INITIAL_CAPACITY", "65536")] {
        old["statics"] = json!({ "LINK_CAPACITY": 16, "INITIAL_CAPACITY": 256 });
        old["statics"][name] = huge.into();
        folder.write("bad", tiny(&old).join("\n"));
        refused(folder.run(&["conform", "bad"]), &format!("bad line 1: `{name}` is {huge}, and the limit is {limit}"));
    }
    folder.write("bad", with_cfg("domain", "x".repeat(100_000)));
    let ran = folder.run(&["conform", "bad"]);
    assert!(ran.err.len() < 300, "an untrusted text is cut");
    refused(ran, "bad line 1: unknown domain `xxx");
    // The largest of everything that is allowed at once.
    folder.write("large", with_cfg("maxCap", 16_777_216));
    assert_eq!(folder.run(&["conform", "large"]).code, 0);
    folder.write("threads", with_cfg("threads", 1000));
    assert_eq!(folder.play(&["conform", "threads"]).code, 0);
    assert_eq!(folder.play(&["conform", "--platform", "sim", "threads"]).code, 0);
}

#[test]
fn threads_have_limits() {
    let folder = Folder::new("conform-threads");
    let mut lines = vec![header().to_string()];
    for i in 0..1001 {
        lines.push(json!({ "i": i, "op": "spawn", "t": i + 1, "res": {} }).to_string());
    }
    folder.write("bad", lines.join("\n"));
    refused(folder.play(&["conform", "bad"]), "bad line 1001: too many threads: the limit is 1000 at a time");
}

#[test]
fn only_regular_files_are_read() {
    let folder = Folder::new("conform-files");
    fs::create_dir(folder.0.join("folder")).expect("a folder");
    refused(folder.run(&["conform", "folder"]), "error: folder: a directory; name the traces in it");
    refused(
        folder.run(&["conform", "/dev/zero"]),
        "error: /dev/zero: not a regular file; pipes and devices are not read",
    );
    let made = Command::new("mkfifo").arg(folder.0.join("pipe")).status().expect("mkfifo runs");
    assert!(made.success());
    refused(folder.run(&["conform", "pipe"]), "error: pipe: not a regular file");
    refused(folder.run(&["conform", "none.gz"]), "error: none.gz: there is no such file");
    refused(folder.run(&["conform"]), "required");
    refused(folder.run(&["conform", "--jobs", "0", "x"]), "write a number between 1 and 1024");
    refused(folder.run(&["conform", "--platform", "loom", "x"]), "invalid value");
    // Bad files keep nobody from the good ones.
    folder.write("ok.jsonl", tiny(&header()).join("\n"));
    let ran = folder.run(&["conform", "none", "ok.jsonl", "folder"]);
    assert_eq!((ran.code, ran.out.lines().count(), ran.err.lines().count()), (2, 1, 2));
}

/// A stream of numbers that is the same everywhere.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, n: usize) -> usize {
        // SplitMix64 (Steele, Lea, Flood 2014).
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % n as u64).expect("it is less than n")
    }
}

/// One random change of a trace.
fn damaged(text: &str, numbers: &mut Numbers) -> Vec<u8> {
    let mut lines: Vec<&str> = text.lines().collect();
    let (a, b) = (numbers.below(lines.len()), numbers.below(lines.len()));
    let absurd = ["-1", "0", "4", "99", "18446744073709551616", "1e300", "null", "\"x\"", "[]", "{}"];
    match numbers.below(7) {
        0 => drop(lines.remove(a)),
        1 => lines.insert(a, lines[b]),
        2 => lines.swap(a, b),
        3 => lines.truncate(a),
        4 => {
            // A number becomes another one, or none.
            let digits: Vec<usize> =
                lines[a].char_indices().filter(|(_, c)| c.is_ascii_digit()).map(|(at, _)| at).collect();
            if !digits.is_empty() {
                let at = digits[numbers.below(digits.len())];
                let line = [&lines[a][..at], absurd[numbers.below(absurd.len())], &lines[a][at + 1..]].concat();
                return [&lines[..a], &[line.as_str()], &lines[a + 1..]].concat().join("\n").into_bytes();
            }
        }
        5 => {
            // Without results: what Netty would not have done is done.
            let without = lines.iter().map(|line| match serde_json::from_str::<Value>(line) {
                Ok(mut value) if value.get("st").is_some() => {
                    value.as_object_mut().expect("an object").remove("st");
                    value["t"] = numbers.below(5).into();
                    value["h"] = numbers.below(5).into();
                    value.to_string()
                }
                _ => (*line).to_string(),
            });
            return without.collect::<Vec<_>>().join("\n").into_bytes();
        }
        _ => {
            let mut bytes = text.as_bytes().to_vec();
            let at = numbers.below(bytes.len());
            bytes[at] ^= 1 << numbers.below(8);
            return bytes;
        }
    }
    lines.join("\n").into_bytes()
}

/// Damaged traces, plain, packed, and packed before they were damaged: each has its verdict, and nothing panics.
#[test]
fn damaged_traces_are_judged_like_others() {
    let folder = Folder::new("conform-damaged");
    let mut numbers = Numbers(41);
    let mut names = Vec::new();
    for name in ["chunk2.4.1.118", "double.4.0.43", "mdq0.4.1.48", "a_derive.4.1.48", "a_death.4.2.7"] {
        let whole = golden(name);
        // The first of its operations, as a trace of its own.
        let mut lines: Vec<String> = whole.lines().take(100).map(str::to_string).collect();
        lines.push(json!({ "end": 1, "ops": lines.len() - 1 }).to_string());
        let text = lines.join("\n");
        for i in 0..60 {
            let bytes = match i % 3 {
                0 => damaged(&text, &mut numbers),
                1 => gzip(&damaged(&text, &mut numbers)),
                _ => {
                    let mut packed = gzip(text.as_bytes());
                    let at = numbers.below(packed.len());
                    packed[at] ^= 1 << numbers.below(8);
                    packed.truncate(packed.len() - numbers.below(2) * at);
                    packed
                }
            };
            let file = format!("{name}.{i}");
            folder.write(&file, bytes);
            names.push(file);
        }
    }
    for platform in ["std", "sim"] {
        let mut arguments = vec!["conform", "--json", "--platform", platform];
        arguments.extend(names.iter().map(String::as_str));
        let ran = folder.play(&arguments);
        assert_eq!((ran.code, ran.err.as_str()), (2, ""), "on {platform}");
        let lines: Vec<Value> = ran.out.lines().map(|l| serde_json::from_str(l).expect("JSON")).collect();
        assert_eq!(lines.len(), names.len() + 1, "on {platform}");
        let of = |result: &str| lines.iter().filter(|line| line["result"] == result).count();
        let (differ, unusable) = (of("differs"), of("unusable"));
        assert!(differ > 20 && unusable > 100, "on {platform}: {differ} differ and {unusable} are unusable");
        let panics: Vec<&Value> = lines.iter().filter(|line| line["what"] == "a panic").collect();
        assert!(panics.is_empty(), "on {platform}: {panics:#?}");
    }
}

#[test]
fn a_reader_who_leaves_gets_no_verdict() {
    let folder = Folder::new("conform-left");
    folder.write("x.jsonl", tiny(&header()).join("\n"));
    let arguments: Vec<&str> = ["conform", "--jobs", "2"].into_iter().chain(["x.jsonl"; 2_000]).collect();
    let mut child = folder.command(&arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("runs");
    drop(child.stdout.take());
    let ran = Ran::from(child.wait_with_output().expect("ends"));
    assert_eq!((ran.code, ran.err.as_str()), (4, ""));
}
