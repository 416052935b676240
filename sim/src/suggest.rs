//! Did you mean?
//!
//! **Invariant: no suggestion is better than a far-fetched one**, and the same words always give the same suggestion.

/// The candidate that `found` is probably a slip of, if any is near.
pub fn nearest<'a>(found: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let found = plain(found);
    let mut best: Option<(usize, &str)> = None;
    for candidate in candidates {
        let distance = distance(&found, &plain(candidate));
        // The first of several equally near ones: candidates come in a fixed order.
        if distance.is_some() && best.is_none_or(|(d, _)| distance < Some(d)) {
            best = distance.map(|d| (d, candidate));
        }
    }
    best.map(|(_, name)| name)
}

/// Letters and digits in lower case: spelling, not style.
fn plain(word: &str) -> String {
    word.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).take(100).collect()
}

/// Edits between two plain words; none if they are too far apart.
fn distance(found: &str, candidate: &str) -> Option<usize> {
    if found.is_empty() || candidate.is_empty() {
        return None;
    }
    let edits = strsim::damerau_levenshtein(found, candidate);
    // A part of a name, such as `retained` or `4.1.8`, is nearer than its missing letters say.
    let part = found.len() >= 3 && (candidate.starts_with(found) || candidate.ends_with(found));
    let allowed = found.chars().count().max(candidate.chars().count()).div_ceil(3);
    if part { Some(1) } else { (edits <= allowed).then_some(edits) }
}

/// `a`, `b` or `c`, in backquotes.
pub fn one_of<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let names: Vec<String> = names.into_iter().map(|n| format!("`{n}`")).collect();
    match names.as_slice() {
        [] => "nothing".to_string(),
        [one] => one.clone(),
        [rest @ .., last] => format!("{} or {last}", rest.join(", ")),
    }
}

/// A number with its digits in groups, as RON writes it: `1_000_000`.
pub fn grouped(number: u128) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push('_');
        }
        out.push(digit);
    }
    out
}

/// A name in quotes, cut to its first characters: it may come from an untrusted file.
pub fn quoted(name: &str) -> String {
    let cut: String = name.chars().take(40).collect();
    let dots = if cut.len() < name.len() { "..." } else { "" };
    format!("\"{}{dots}\"", cut.escape_debug())
}
