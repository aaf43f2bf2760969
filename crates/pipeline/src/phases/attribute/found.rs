//! What is found of one report, and its tables.
use std::{cmp::Ordering, fmt::Write};

use report::metrics::rank_correlation;
use serde::{Deserialize, Serialize};

/// What of its scan a report leans on. Every place has a line of its table, and takes no memory here.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Found {
    /// Of the cohort's table.
    pub(crate) row: usize,
    /// The text, token by token.
    pub(crate) tokens: Vec<Token>,
    /// The parts without which it is least likely, or else the places that it looks at most.
    pub(crate) leaned_on: Vec<Place>,
    /// Mean correlation of the orders into which attention, gradient and occlusion bring the parts; none where fewer than
    /// two of them say anything of places.
    pub(crate) agreement: Option<f64>,
}

/// A token of a report.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Token {
    pub(crate) text: String,
    /// Log-probability with the scan, in nats.
    pub(crate) own: f64,
    /// The same without one.
    pub(crate) none: f64,
    /// The places that it looks at most, with their share of its attention.
    pub(crate) looks_at: Vec<(String, f64)>,
}

impl Token {
    /// The places that it looks at most, in words.
    pub(crate) fn looked_at(&self) -> String {
        let named = self.looks_at.iter().map(|(name, share)| format!("{name} ({share:.3})"));
        named.collect::<Vec<_>>().join("; ")
    }
}

/// A place of a scan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Place {
    pub(crate) name: String,
    /// With which neighbours it was taken away, from 1; none where it was not.
    pub(crate) part: Option<usize>,
    /// Share of the report's attention.
    pub(crate) attention: Option<f64>,
    /// Gradient of the report's log-likelihood times the value, in nats.
    pub(crate) gradient: Option<f64>,
    /// What the report's log-likelihood loses without its part, in nats.
    pub(crate) occlusion: Option<f64>,
}

impl Place {
    /// Neighbours that were taken away together.
    fn joined(places: &[Self]) -> Self {
        let (first, last) = (&places[0], &places[places.len() - 1]);
        let name = match places.len() {
            1 => first.name.clone(),
            _ => format!("{} to {}", first.name, last.name),
        };
        let sum = |of: fn(&Self) -> Option<f64>| places.iter().map(of).sum();
        let (attention, gradient) = (sum(|it| it.attention), sum(|it| it.gradient));
        Self { name, attention, gradient, ..first.clone() }
    }
}

/// A moment of a scan.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Moment {
    pub(super) attention: Option<f64>,
    pub(super) gradient: Option<f64>,
}

impl Found {
    /// What the scan adds to the report's log-likelihood, in nats.
    pub(crate) fn gain(&self) -> f64 {
        self.tokens.iter().map(|it| it.own - it.none).sum()
    }

    pub(super) fn of_tokens(&self) -> String {
        let mut table =
            "token\ttext\tlog_prob\tlog_prob_no_scan\tdifference\tlooks_at\n".to_owned();
        for (at, it) in self.tokens.iter().enumerate() {
            let looks = if it.looks_at.is_empty() { "n/a".to_owned() } else { it.looked_at() };
            let (own, none) = (it.own, it.none);
            // quoted as JSON has it, for tokens may be blanks and ends of lines
            let text = serde_json::to_string(&it.text).expect("text is text");
            _ = writeln!(
                table,
                "{}\t{text}\t{own:.4}\t{none:.4}\t{:.4}\t{looks}",
                at + 1,
                own - none
            );
        }
        table
    }
}

/// What is said of every place and moment of the scan.
pub(super) struct Grids {
    /// Places, in their order.
    pub(super) places: Vec<Place>,
    /// Moments of what the model is shown, in their order.
    pub(super) moments: Vec<Moment>,
}

impl Grids {
    /// The parts without which the report is least likely, or else the places that it looks at most, the first `n`.
    pub(super) fn leaned_on(&self, n: usize) -> Vec<Place> {
        let together = |a: &Place, b: &Place| a.part.is_some() && a.part == b.part;
        let size = |it: &Place| it.occlusion.or(it.attention);
        let parts = self.places.chunk_by(together).map(Place::joined);
        let mut parts: Vec<Place> = parts.filter(|it| size(it).is_some()).collect();
        parts.sort_by(|a, b| size(b).partial_cmp(&size(a)).unwrap_or(Ordering::Equal));
        parts.truncate(n);
        parts
    }

    pub(super) fn of_places(&self) -> String {
        let mut table = "place\tpart\tattention\tgradient\tocclusion\n".to_owned();
        for it in &self.places {
            let part = it.part.map_or_else(|| "n/a".to_owned(), |part| part.to_string());
            let [attention, gradient, occlusion] =
                [it.attention, it.gradient, it.occlusion].map(number);
            _ = writeln!(table, "{}\t{part}\t{attention}\t{gradient}\t{occlusion}", it.name);
        }
        table
    }

    pub(super) fn of_moments(&self) -> String {
        let mut table = "moment\tattention\tgradient\n".to_owned();
        for (at, it) in self.moments.iter().enumerate() {
            let [attention, gradient] = [it.attention, it.gradient].map(number);
            _ = writeln!(table, "{}\t{attention}\t{gradient}", at + 1);
        }
        table
    }
}

fn number(value: Option<f64>) -> String {
    value.map_or_else(|| "n/a".to_owned(), |value| format!("{value:.5e}"))
}

/// Mean correlation of the orders of how much each method makes of every part, whatever the sign.
pub(super) fn agreement(of_parts: &[Option<Vec<f64>>; 3]) -> Option<f64> {
    let sizes = |values: &Vec<f64>| values.iter().map(|it| it.abs()).collect::<Vec<_>>();
    let there: Vec<Vec<f64>> = of_parts.iter().flatten().map(sizes).collect();
    let pairs =
        there.iter().enumerate().flat_map(|(at, a)| there[..at].iter().map(move |b| (a, b)));
    let found: Option<Vec<f64>> = pairs.map(|(a, b)| rank_correlation(a, b)).collect();
    let found = found.filter(|found| !found.is_empty())?;
    Some(found.iter().sum::<f64>() / found.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_agree_by_order_and_not_by_sign() {
        let some = |values: [f64; 3]| Some(values.to_vec());
        let same = [some([1., 2., 3.]), some([-10., 20., -30.]), None];
        assert_eq!(agreement(&same), Some(1.));
        let third = [some([1., 2., 3.]), some([1., 2., 3.]), some([3., 2., 1.])];
        assert!((agreement(&third).unwrap() + 1. / 3.).abs() < 1e-12);
        assert_eq!(agreement(&[some([1., 2., 3.]), None, None]), None);
        assert_eq!(agreement(&[some([1., 1., 1.]), some([1., 2., 3.]), None]), None);
    }

    #[test]
    fn parts_that_were_taken_away_together_are_one() {
        let place = |name: &str, part, occlusion| Place {
            name: name.to_owned(),
            part: Some(part),
            attention: Some(0.25),
            gradient: None,
            occlusion: Some(occlusion),
        };
        let places = [("a", 1, 0.5), ("b", 1, 0.5), ("c", 2, 2.), ("d", 3, -1.)];
        let places = places.map(|(name, part, it)| place(name, part, it)).to_vec();
        let grids = Grids { places, moments: Vec::new() };
        let leaned: Vec<(String, Option<f64>)> =
            grids.leaned_on(2).into_iter().map(|it| (it.name, it.attention)).collect();
        assert_eq!(leaned, [("c".to_owned(), Some(0.25)), ("a to b".to_owned(), Some(0.5))]);
    }

    #[test]
    fn tables_name_tokens_that_are_ends_of_lines() {
        let token = |text: &str| Token {
            text: text.to_owned(),
            own: -0.5,
            none: -2.,
            looks_at: vec![("Vis_1".to_owned(), 0.25)],
        };
        let place = |name: &str, occlusion| Place {
            name: name.to_owned(),
            part: Some(1),
            attention: None,
            gradient: Some(-0.5),
            occlusion,
        };
        let found = Found {
            row: 3,
            tokens: vec![token("a"), token("\n\t")],
            leaned_on: Vec::new(),
            agreement: None,
        };
        let grids = Grids {
            places: vec![place("Vis_1", Some(0.25)), place("Vis_2", None)],
            moments: vec![Moment { attention: Some(1.), gradient: None }],
        };
        assert!((found.gain() - 3.).abs() < 1e-12);
        let (tokens, places, moments) = (found.of_tokens(), grids.of_places(), grids.of_moments());
        let last = tokens.lines().last().unwrap();
        assert_eq!(last, "2\t\"\\n\\t\"\t-0.5000\t-2.0000\t1.5000\tVis_1 (0.250)");
        assert_eq!(places.lines().last().unwrap(), "Vis_2\t1\tn/a\t-5.00000e-1\tn/a");
        assert_eq!(moments.lines().last().unwrap(), "1\t1.00000e0\tn/a");
    }
}
