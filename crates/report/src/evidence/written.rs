//! What was written: how much better it fits with the own scan than with another person's.

use super::{EvidenceInput, units::Units};
use crate::metrics::{Interval, RowMeans, ptb, rouge_of_words, share_interval};

/// With the own scan minus with other people's; of other runs or windows where there is one person only.
pub(super) fn of_others(input: &EvidenceInput, units: &Units) -> Option<Interval> {
    let other = units.of(units.others());
    beside(input, units, |window, scan| other[window] != other[scan])
}

/// With the own scan minus with scans that are `partners` of the window.
pub(super) fn beside(
    input: &EvidenceInput,
    units: &Units,
    partners: impl Fn(usize, usize) -> bool,
) -> Option<Interval> {
    match &input.free_text {
        Some(texts) => of_text(input, texts, units, partners),
        None => of_slot(input, units, partners),
    }
}

/// Accuracy of the scored slots, "not stated" counted wrong. `None` where no window has a partner.
fn of_slot(
    input: &EvidenceInput,
    units: &Units,
    partners: impl Fn(usize, usize) -> bool,
) -> Option<Interval> {
    let cluster = units.resampled();
    let mut rows = RowMeans::new(units.counts.at(units.resampled));
    let mut own = Vec::new();
    for block in &input.blocks {
        for (place, &window) in block.iter().enumerate() {
            let right = |place: usize| input.right(window, place);
            let others = block.iter().enumerate().filter(|(_, scan)| partners(window, **scan));
            let before = rows.len();
            let cells = others.map(|(place, &scan)| (cluster[scan], -right(place)));
            rows.push(cluster[window], right(place), cells);
            if rows.len() > before {
                own.push((right(place), cluster[window]));
            }
        }
    }
    if rows.is_empty() {
        return None;
    }
    let found = rows.jackknife().interval();
    let (values, clusters): (Vec<f64>, Vec<usize>) = own.into_iter().unzip();
    Some(at_the_ceiling(found, &values, &clusters))
}

/// ROUGE-L of each generated report to its own true report minus to those of its partners.
fn of_text(
    input: &EvidenceInput,
    texts: &[String],
    units: &Units,
    partners: impl Fn(usize, usize) -> bool,
) -> Option<Interval> {
    let cluster = units.resampled();
    let mut rows = RowMeans::new(units.counts.at(units.resampled));
    let references: Vec<_> = input.truth.iter().map(|text| [ptb::words(text)]).collect();
    for block in &input.blocks {
        for &window in block {
            let text = ptb::words(&texts[window]);
            let score = |reference: usize| rouge_of_words(&text, &references[reference]);
            let others = block.iter().filter(|scan| partners(window, **scan));
            let cells = others.map(|&scan| (cluster[scan], -score(scan)));
            rows.push(cluster[window], score(window), cells);
        }
    }
    (!rows.is_empty()).then(|| rows.jackknife().interval().within(-1.0, 1.0))
}

/// Where every report is right, or none, nothing varies between units: the binomial limit of as many
/// units stands in for the part of the own scans.
fn at_the_ceiling(found: Interval, own: &[f64], clusters: &[usize]) -> Interval {
    let own = share_interval(own, clusters).expect("one cluster a value");
    let others = own.estimate - found.estimate;
    let mut found = found;
    if own.estimate >= 1.0 {
        found.low = found.low.min(own.low - others);
    } else if own.estimate <= 0.0 {
        found.high = found.high.max(own.high - others);
    }
    found.within(-1.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::example;

    fn of(input: &EvidenceInput) -> Interval {
        let values: Vec<usize> = (0..input.truth.len()).map(|idx| idx % 4).collect();
        of_others(input, &Units::new(&input.units, &values)).unwrap()
    }

    #[test]
    fn stating_what_is_seen_is_worth_what_others_do_not_give() {
        // two runs of one person, 4 values: of the 8 scans of the other run 2 show the same
        let found = of(&example::seeing(16));
        assert!((found.estimate - 0.75).abs() < 1e-12);
        // 16 of 16 right leave room down to 0.794
        assert!((found.low - (0.7941 - 0.25)).abs() < 1e-3, "{found}");
        assert!(found.high <= 1.0, "{found}");
    }

    #[test]
    fn a_text_that_never_changes_is_worth_nothing() {
        let found = of(&example::blind(16));
        assert_eq!(found, Interval { estimate: 0.0, low: 0.0, high: 0.0 });
    }

    #[test]
    fn free_text_is_judged_by_its_likeness_to_the_own_report() {
        let mut input = example::seeing(16);
        input.truth = (0..16).map(|idx| format!("finding {idx} in region {}", idx % 4)).collect();
        let (truth, values) = (input.truth.clone(), (0..16).collect::<Vec<usize>>());
        let mut of = |texts: Vec<String>| {
            input.free_text = Some(texts);
            of_others(&input, &Units::new(&input.units, &values)).unwrap()
        };
        let right = of(truth);
        assert!(right.low > 0.2, "{right}");
        let same = vec!["finding 3 in region 3".to_owned(); 16];
        let blind = of(same);
        assert!(blind.contains(0.0) && blind.estimate.abs() < 1e-12, "{blind}");
    }

    #[test]
    fn what_is_not_stated_is_wrong() {
        let mut input = example::seeing(16);
        for row in &mut input.value {
            row.fill(None);
        }
        let found = of(&input);
        assert!(found.estimate.abs() < 1e-12 && found.contains(0.0), "{found}");
    }

    #[test]
    fn others_are_other_people_where_there_are_any() {
        // two people, all of one see cats: the scans of one's own person do not count as another's
        let mut input = example::seeing(4);
        for (idx, unit) in input.units.iter_mut().enumerate() {
            unit.subject = (idx / 2).to_string();
        }
        let name = |idx: usize| ["cat", "face"][idx / 2].to_owned();
        input.truth = (0..4).map(name).collect();
        input.value = vec![(0..4).map(|scan| Some(name(scan))).collect(); 4];
        let units = Units::new(&input.units, &[0, 0, 1, 1]);
        assert!((of_others(&input, &units).unwrap().estimate - 1.0).abs() < 1e-12);
    }
}
