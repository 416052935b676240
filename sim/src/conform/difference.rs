//! Where two JSON values differ first.
//!
//! **Invariant: none is found only in equal values**; a field that only one of them has is a difference.

use serde_json::Value;

/// The first difference of two values.
pub struct Differs {
    /// Where: `st.p[0].sz`.
    pub what: String,
    pub trace: String,
    pub here: String,
}

/// Characters of a value that are shown.
const SHOWN: usize = 200;

/// The first difference, at the deepest place that both have. Fields are compared in alphabetical order.
pub fn first_difference(what: &str, trace: &Value, here: &Value) -> Option<Differs> {
    if trace == here {
        return None;
    }
    match (trace, here) {
        (Value::Array(a), Value::Array(b)) => {
            let within = a.iter().zip(b).enumerate();
            let within = within.filter_map(|(i, (a, b))| first_difference(&format!("{what}[{i}]"), a, b)).next();
            within.or_else(|| Some(differs(format!("{what} has"), &elements(a.len()), &elements(b.len()))))
        }
        (Value::Object(a), Value::Object(b)) => {
            let mut names: Vec<&String> = a.keys().chain(b.keys().filter(|name| !a.contains_key(*name))).collect();
            names.sort_unstable();
            names.into_iter().find_map(|name| {
                let what = format!("{what}.{name}");
                match (a.get(name), b.get(name)) {
                    (Some(a), Some(b)) => first_difference(&what, a, b),
                    (a, b) => Some(differs(what, &shown(a), &shown(b))),
                }
            })
        }
        _ => Some(differs(what.into(), &shown(Some(trace)), &shown(Some(here)))),
    }
}

fn differs(what: String, trace: &str, here: &str) -> Differs {
    Differs { what, trace: trace.into(), here: here.into() }
}

fn elements(n: usize) -> String {
    format!("{n} element{}", if n == 1 { "" } else { "s" })
}

/// A value in one line of moderate length.
fn shown(value: Option<&Value>) -> String {
    value.map_or("nothing".into(), |value| cut(&value.to_string()))
}

/// A text's first characters.
pub fn cut(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((at, _)) => format!("{}...", &text[..at]),
        None => text.into(),
    }
}
