//! Groups to parts, so that every class is spread in the shares asked for.
//!
//! Source: the greedy rule of scikit-learn's `StratifiedGroupKFold`, for parts of any share: the
//! most uneven groups first, each to the part where the filling of the parts then differs least.

/// The part of each group; `counts`: for each group how many of each class it holds.
pub(super) fn assign(counts: &[&[f64]], shares: &[f64]) -> Vec<usize> {
    let n_classes = counts.first().map_or(0, |group| group.len());
    let mut totals = vec![0.0; n_classes];
    for group in counts {
        totals.iter_mut().zip(*group).for_each(|(total, n)| *total += n);
    }
    let mut order: Vec<usize> = (0..counts.len()).collect();
    // stable: who is equal keeps the order of the lot
    order.sort_by(|&a, &b| {
        let uneven = |group: usize| deviation(counts[group].iter().copied());
        let size = |group: usize| counts[group].iter().sum::<f64>();
        uneven(b).total_cmp(&uneven(a)).then(size(b).total_cmp(&size(a)))
    });
    let scale: Vec<f64> = shares.iter().map(|share| share * shares.len() as f64).collect();
    let mut held = vec![vec![0.0; n_classes]; shares.len()];
    let mut parts = vec![0; counts.len()];
    for group in order {
        let mut best: Option<(usize, f64, f64)> = None;
        for part in 0..shares.len() {
            add(&mut held[part], counts[group], 1.0);
            let filling = |class: usize| {
                let total = totals[class];
                let filled = held.iter().zip(&scale);
                deviation(filled.map(move |(held, scale)| held[class] / (total * scale)))
            };
            let spread = (0..n_classes).map(filling).sum::<f64>() / n_classes as f64;
            let size = held[part].iter().sum::<f64>() / scale[part];
            add(&mut held[part], counts[group], -1.0);
            let is_better = best.is_none_or(|(_, least, smallest)| {
                let same = (spread - least).abs() <= 1e-8 + 1e-5 * least;
                spread < least && !same || same && size < smallest
            });
            if is_better {
                best = Some((part, spread, size));
            }
        }
        let (part, ..) = best.expect("there is a part");
        add(&mut held[part], counts[group], 1.0);
        parts[group] = part;
    }
    parts
}

fn add(held: &mut [f64], group: &[f64], sign: f64) {
    held.iter_mut().zip(group).for_each(|(held, n)| *held += sign * n);
}

/// Standard deviation (n).
fn deviation(values: impl Iterator<Item = f64> + Clone) -> f64 {
    let n = values.clone().count() as f64;
    let mean = values.clone().sum::<f64>() / n;
    (values.map(|x| (x - mean) * (x - mean)).sum::<f64>() / n).sqrt()
}
