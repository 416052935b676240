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

/// A text table with right-aligned columns, the first left-aligned.
pub fn table(head: &[String], rows: &[Vec<String>]) -> String {
    let width =
        |c: usize| rows.iter().map(|r| r[c].chars().count()).chain([head[c].chars().count()]).max().unwrap_or_default();
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let line = |cells: &[String]| {
        let mut out = String::from("  ");
        for (c, cell) in cells.iter().enumerate() {
            if c == 0 {
                out.push_str(&format!("{cell:<w$}", w = widths[0]));
            } else {
                out.push_str(&format!("  {cell:>w$}", w = widths[c]));
            }
        }
        out.truncate(out.trim_end().len());
        out.push('\n');
        out
    };
    let mut out = line(head);
    let rule: Vec<String> = widths.iter().map(|w| "-".repeat(*w)).collect();
    out.push_str(&line(&rule));
    for row in rows {
        assert_eq!(row.len(), head.len(), "a row has a cell for each column");
        out.push_str(&line(row));
    }
    out
}
