//! What the numbers of any config stay within. A number that lies would otherwise be believed until
//! the weights are looked at: names made for layers that are not there, memory taken for them.

/// Most blocks of a model; published ones have at most some 130.
pub(crate) const LAYERS: usize = 1_000;
/// Longest sequence.
pub(crate) const POSITIONS: usize = 1 << 24;
/// Widest token, feed-forward, or row of heads.
pub(crate) const WIDTH: usize = 1 << 20;
/// Most rows of the embedding.
pub(crate) const VOCABULARY: usize = 1 << 24;

/// The first of these counts (name, found, most) that is zero or too large, in a sentence.
pub(crate) fn count(fields: &[(&str, usize, usize)]) -> Option<String> {
    fields.iter().find_map(|&(name, found, most)| {
        let outside = found == 0 || found > most;
        outside.then(|| format!("{name} is {found}, expected 1 to {most}"))
    })
}

/// What is wrong with a number that must be positive.
pub(crate) fn positive(name: &str, found: f64) -> Option<String> {
    let sound = found.is_finite() && found > 0.;
    (!sound).then(|| format!("{name} is {found}, expected a finite number above 0"))
}

/// What is wrong with the number that a norm adds.
pub(crate) fn eps(name: &str, found: f64) -> Option<String> {
    let sound = found.is_finite() && found >= 0.;
    (!sound).then(|| format!("{name} is {found}, expected a finite number, 0 or above"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_outside_is_named_with_what_was_expected() {
        assert_eq!(count(&[("a", 1, 3), ("b", 3, 3)]), None);
        let problem = count(&[("a", 1, 3), ("b", 4, 3), ("c", 0, 3)]);
        assert_eq!(problem.as_deref(), Some("b is 4, expected 1 to 3"));
        assert_eq!(count(&[("c", 0, 3)]).as_deref(), Some("c is 0, expected 1 to 3"));
        assert_eq!((positive("a", 1e-9), eps("a", 0.)), (None, None));
        for wrong in [0., -1., f64::INFINITY, f64::NAN] {
            let problem = positive("a", wrong).unwrap();
            assert!(problem.contains(&format!("a is {wrong}, expected")), "{problem}");
        }
        assert!([-1e-6, f64::INFINITY, f64::NAN].iter().all(|&wrong| eps("a", wrong).is_some()));
    }
}
