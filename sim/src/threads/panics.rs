//! Panics of a run's threads.
//!
//! **Invariant: a panic that no `Platform::catch` will see is a finding at the moment of the panic**, before destructors run.
//!
//! The hook is installed once per process and hands on every panic that is none of ours.

use super::run::try_here;
use crate::ledger::FindingKind;
use std::panic::{PanicHookInfo, set_hook, take_hook};
use std::sync::Once;

static HOOK: Once = Once::new();

/// Installs the hook if it isn't.
pub(super) fn install() {
    HOOK.call_once(|| {
        let previous = take_hook();
        set_hook(Box::new(move |info| {
            if !is_ours(info) {
                previous(info);
            }
        }));
    });
}

/// Whether it happened on a thread of a run: the report tells of it then.
fn is_ours(info: &PanicHookInfo<'_>) -> bool {
    let told = try_here(|me| {
        if me.catches.get() == 0 {
            let place = info.location().map_or_else(String::new, ToString::to_string);
            let message = info.payload_as_str().unwrap_or("a panic without a text");
            let text = format!("{} panicked at {place}: {message}", me.slot.name);
            me.found(FindingKind::Panic, text);
        }
    });
    told.is_some()
}
