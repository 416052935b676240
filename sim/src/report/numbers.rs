//! Numbers as a reader wants them, the same everywhere.

use std::time::Duration;

/// With a comma between thousands: `1,482`.
pub fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(c);
    }
    out
}

/// In the largest binary unit that leaves at least one whole: `5.4 MiB`.
pub fn bytes(n: u64) -> String {
    const UNITS: [(&str, u64); 3] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    match UNITS.iter().find(|(_, size)| n >= *size) {
        None => format!("{n} B"),
        Some((name, size)) => {
            let tenths = (u128::from(n) * 10 + u128::from(*size) / 2) / u128::from(*size);
            format!("{}.{} {name}", tenths / 10, tenths % 10)
        }
    }
}

/// Virtual time in milliseconds with microseconds: `23.417 ms`.
pub fn time(t: Duration) -> String {
    format!("{}.{:03} ms", count(u64::try_from(t.as_millis()).unwrap_or(u64::MAX)), t.subsec_micros() % 1000)
}

/// `1 loop`, `2 loops`.
pub fn plural(n: u64, one: &str, many: &str) -> String {
    format!("{} {}", count(n), if n == 1 { one } else { many })
}

/// A text table with right-aligned columns, the first left-aligned. A heading may have several lines.
pub fn table(head: &[String], rows: &[Vec<String>]) -> String {
    let lines = head.iter().map(|h| h.lines().count()).max().unwrap_or_default();
    // Headings stand on the rule: a short one begins with empty lines.
    let heading = |h: &String, line: usize| {
        let skipped = lines - h.lines().count();
        if line < skipped { String::new() } else { h.lines().nth(line - skipped).unwrap_or_default().to_string() }
    };
    let width = |c: usize| {
        let head = head[c].lines().map(|l| l.chars().count());
        rows.iter().map(|r| r[c].chars().count()).chain(head).max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let mut out = String::new();
    for l in 0..lines {
        let cells: Vec<String> = head.iter().map(|h| heading(h, l)).collect();
        line(&mut out, &cells, &widths);
    }
    line(&mut out, &widths.iter().map(|w| "-".repeat(*w)).collect::<Vec<_>>(), &widths);
    for row in rows {
        assert_eq!(row.len(), head.len(), "a row has a cell for each column");
        line(&mut out, row, &widths);
    }
    out
}

fn line(out: &mut String, cells: &[String], widths: &[usize]) {
    let mut text = String::from(" ");
    for (c, (cell, w)) in cells.iter().zip(widths).enumerate() {
        text.push_str(&if c == 0 { format!(" {cell:<w$}") } else { format!("  {cell:>w$}") });
    }
    out.push_str(text.trim_end());
    out.push('\n');
}
