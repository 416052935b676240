//! The least part of a list that still fails.
//!
//! **Invariant: the result fails, and without any one of its entries it does not**, unless the executions allowed were used up.
//!
//! Delta debugging (Zeller and Hildebrandt, *Simplifying and isolating failure-inducing input*, 2002): halves, then what is left without a
//! half, then finer parts; then single entries until none can go.

/// What a reduction came to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Shrunk<T> {
    /// The entries that are left, in order.
    pub entries: Vec<T>,
    /// Executions used.
    pub tries: u32,
}

/// The least part of `entries` for which `fails` is true, which it is for all of them; it is asked at most `most` times.
pub fn shrink<T: Clone>(entries: &[T], most: u32, mut fails: impl FnMut(&[T]) -> bool) -> Shrunk<T> {
    let mut tries = 0;
    let mut fails = |part: &[T]| {
        tries += 1;
        tries <= most && fails(part)
    };
    let mut left = entries.to_vec();
    if !left.is_empty() && fails(&[]) {
        left.clear();
    }
    let mut parts = 2;
    while left.len() >= 2 && parts <= left.len() {
        let size = left.len().div_ceil(parts);
        let chunks: Vec<Vec<T>> = left.chunks(size).map(<[T]>::to_vec).collect();
        if let Some(one) = chunks.iter().find(|chunk| chunk.len() < left.len() && fails(chunk)) {
            left.clone_from(one);
            parts = 2;
            continue;
        }
        let without = |i: usize| -> Vec<T> {
            chunks.iter().enumerate().filter(|(j, _)| *j != i).flat_map(|(_, c)| c.iter().cloned()).collect()
        };
        match (0..chunks.len()).map(without).find(|rest| fails(rest)) {
            Some(rest) => {
                left = rest;
                parts = (parts - 1).max(2);
            }
            None if size == 1 => break,
            None => parts = (parts * 2).min(left.len()),
        }
    }
    // Later ones first: what comes late depends on the least.
    loop {
        let before = left.len();
        for i in (0..left.len()).rev() {
            let mut rest = left.clone();
            rest.remove(i);
            if fails(&rest) {
                left = rest;
            }
        }
        if left.len() == before {
            return Shrunk { entries: left, tries };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_needed_is_left_and_nothing_else() {
        let all: Vec<u32> = (0..1000).collect();
        for needed in [vec![], vec![7], vec![0, 999], vec![3, 500, 501], (100..120).collect::<Vec<_>>()] {
            let shrunk = shrink(&all, 2000, |part| needed.iter().all(|n| part.contains(n)));
            assert_eq!(shrunk.entries, needed);
            assert!(shrunk.tries <= 2000, "{} for {needed:?}", shrunk.tries);
        }
    }

    #[test]
    fn alternatives_shrink_to_one_that_has_no_smaller_part() {
        // Any three entries will do.
        let shrunk = shrink(&(0..100).collect::<Vec<u32>>(), 2000, |part| part.len() >= 3);
        assert_eq!(shrunk.entries.len(), 3);
    }

    #[test]
    fn it_ends_when_its_executions_are_used_up() {
        let all: Vec<u32> = (0..1000).collect();
        let shrunk = shrink(&all, 50, |part| part.iter().filter(|n| *n % 2 == 0).count() == 500);
        assert!(shrunk.tries >= 50);
        assert!(shrunk.entries.iter().filter(|n| *n % 2 == 0).count() == 500, "it still fails");
    }
}
