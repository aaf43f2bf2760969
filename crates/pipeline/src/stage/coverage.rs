//! How much of each parcel the scans of a cohort have data of: for the record, the page and a table.
use std::fmt::Write as _;

use preprocess::SeriesFacts;
use report::counted;
use serde::Serialize;

use super::SeriesSet;

/// The most names that a sentence lists.
const SHOWN: usize = 5;

/// One parcel over all scans.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct ParcelCoverage {
    label: i32,
    name: String,
    /// Scans that have no data of it.
    n_lost: usize,
    /// The mean over scans of the share that has data; none of series that were parcelled already without a table of it.
    mean: Option<f64>,
    /// The smallest share.
    least: Option<f64>,
}

/// Every parcel, in the order of the columns.
pub(crate) fn of_parcels(parcels: &SeriesSet) -> Vec<ParcelCoverage> {
    let facts = facts(parcels);
    let of_parcel = |(at, parcel): (usize, &scan::Parcel)| {
        let shares = facts.iter().filter_map(|(_, it)| it.coverage.as_ref()?.get(at).copied());
        let shares: Vec<f64> = shares.collect();
        let mean = shares.iter().sum::<f64>() / shares.len() as f64;
        ParcelCoverage {
            label: parcel.label,
            name: parcel.name.clone(),
            n_lost: facts.iter().filter(|(_, it)| it.lost.contains(&parcel.label)).count(),
            mean: (!shares.is_empty()).then_some((1e4 * mean).round() / 1e4),
            least: shares.iter().copied().reduce(f64::min),
        }
    };
    parcels.about.parcels.iter().enumerate().map(of_parcel).collect()
}

/// What is to be known of the columns of the scans: `2 of 3 scans lack data of parcels: octant 8 in 2
/// scans`; nothing where there is nothing.
pub(crate) fn sentence(parcels: &SeriesSet) -> Option<String> {
    let facts = facts(parcels);
    let said = [lacking(parcels, &facts), dropped(&facts), nonfinite(&facts)];
    let said: Vec<String> = said.into_iter().flatten().collect();
    (!said.is_empty()).then(|| said.join("; "))
}

/// `2 of 3 scans have frames with values that are no finite numbers (at most 5), which count as 0`.
fn nonfinite(facts: &[(usize, SeriesFacts)]) -> Option<String> {
    let n_scans = facts.iter().filter(|(_, it)| it.n_nonfinite_frames > 0).count();
    let most = facts.iter().map(|(_, it)| it.n_nonfinite_frames).max().filter(|n| *n > 0)?;
    Some(format!(
        "{n_scans} of {} have frames with values that are no finite numbers (at most {most}), which count as 0",
        counted(facts.len(), "scan")
    ))
}

/// `2 of 3 scans have columns of no label and without data (3), which were dropped`.
fn dropped(facts: &[(usize, SeriesFacts)]) -> Option<String> {
    let n_scans = facts.iter().filter(|(_, it)| it.dropped.is_some()).count();
    let most = facts.iter().filter_map(|(_, it)| it.dropped).max()?;
    Some(format!(
        "{n_scans} of {} have columns of no label and without data (at most {most}), which were dropped",
        counted(facts.len(), "scan")
    ))
}

fn lacking(parcels: &SeriesSet, facts: &[(usize, SeriesFacts)]) -> Option<String> {
    let n_scans = facts.iter().filter(|(_, it)| !it.lost.is_empty()).count();
    let mut lost = of_parcels(parcels);
    lost.retain(|parcel| parcel.n_lost > 0);
    lost.sort_by_key(|parcel| std::cmp::Reverse(parcel.n_lost));
    let most = facts.iter().map(|(_, it)| it.lost.len()).max().filter(|n| *n > 0)?;
    let named = |it: &ParcelCoverage| format!("{} in {}", it.name, counted(it.n_lost, "scan"));
    let shown: Vec<String> = lost.iter().take(SHOWN).map(named).collect();
    let more = lost.len().saturating_sub(SHOWN);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    Some(format!(
        "{n_scans} of {} lack data of parcels (at most {most} of {}): {}{more}",
        counted(facts.len(), "scan"),
        parcels.about.parcels.len(),
        shown.join(", ")
    ))
}

/// For the page: how many parcels, which of them are covered least, and which scans lack some.
pub(crate) fn in_words(parcels: &SeriesSet) -> String {
    let mut said = parcels.about.parcels.len().to_string();
    let all = of_parcels(parcels);
    let mut covered: Vec<(f64, &str)> =
        all.iter().filter_map(|it| Some((it.mean?, it.name.as_str()))).collect();
    covered.sort_by(|a, b| a.0.total_cmp(&b.0));
    let partly: Vec<String> = covered
        .iter()
        .filter(|(mean, _)| *mean < 1.0)
        .take(SHOWN)
        .map(|(mean, name)| format!("{name} {:.0} %", 100.0 * mean))
        .collect();
    if !partly.is_empty() {
        let _ = write!(said, "; least covered on average: {}", partly.join(", "));
    } else if !covered.is_empty() {
        said.push_str(", all covered in full");
    }
    if let Some(sentence) = sentence(parcels) {
        let _ = write!(said, "; {sentence}");
    }
    said + "; each scan in coverage.tsv"
}

/// The share of each parcel in each scan, a scan a row; tabs.
pub(crate) fn table(parcels: &SeriesSet, scans: &[preprocess::Recording]) -> String {
    let cell = |text: &str| text.replace(['\t', '\n', '\r'], " ");
    let mut table = "scan\tn_lost\tlost".to_owned();
    parcels.about.parcels.iter().for_each(|it| _ = write!(table, "\t{}", cell(&it.name)));
    table.push('\n');
    for (idx, facts) in facts(parcels) {
        let is_lost = |parcel: &&scan::Parcel| facts.lost.contains(&parcel.label);
        let lost: Vec<String> =
            parcels.about.parcels.iter().filter(is_lost).map(|it| cell(&it.name)).collect();
        let lost = if lost.is_empty() { "n/a".to_owned() } else { lost.join(",") };
        let _ = write!(table, "{}\t{}\t{lost}", cell(&scans[idx].name), facts.lost.len());
        for at in 0..parcels.about.parcels.len() {
            match &facts.coverage {
                Some(shares) => _ = write!(table, "\t{}", shares[at]),
                None => table.push_str("\tn/a"),
            }
        }
        table.push('\n');
    }
    table
}

/// Of the scans that are there.
fn facts(parcels: &SeriesSet) -> Vec<(usize, SeriesFacts)> {
    let units = parcels.units.iter().enumerate();
    units.filter_map(|(idx, unit)| Some((idx, SeriesFacts::of(unit.as_ref()?)?))).collect()
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use scan::{ImageQualityMetrics, Parcel};
    use serde_json::Value;

    use super::*;
    use engine::{Key, Unit};

    use preprocess::{AboutSeries, Recording};

    fn unit(lost: &[i32], coverage: Option<Vec<f64>>) -> Unit {
        let quality = ImageQualityMetrics {
            t_r: 2.0,
            n_frames: 9,
            n_voxels: 2,
            median_tsnr: None,
            median_dvars_percent: None,
        };
        let lost = lost.to_vec();
        let facts = SeriesFacts {
            t_r_s: 2.0,
            n_frames: 9,
            lost,
            coverage,
            quality,
            fd_mean_mm: None,
            fd_max_mm: None,
            dropped: None,
            n_nonfinite_frames: 0,
            kept: None,
            of_voxels: false,
        };
        let facts = serde_json::to_value(facts).unwrap();
        Unit {
            key: Key::of(&serde_json::Value::Null),
            path: PathBuf::new(),
            facts: engine::Facts::of(&facts),
        }
    }

    fn parcels(units: impl IntoIterator<Item = Option<Unit>>) -> SeriesSet {
        let parcel = |label, name: &str| Parcel { label, name: name.to_owned(), centre_mm: None };
        let about = AboutSeries {
            parcels: vec![parcel(3, "A"), parcel(8, "B")],
            mask: None,
            atlas: Value::Null,
            preparation: Vec::new(),
            left_right: None,
            normalisation: None,
        };
        SeriesSet { units: units.into_iter().collect(), about }
    }

    fn scan(name: &str) -> Recording {
        Recording {
            subject: "1".to_owned(),
            session: None,
            name: name.to_owned(),
            unit: name.to_owned(),
            file: name.to_owned(),
            path: PathBuf::new(),
            sha256: None,
            t_r_s: None,
            n_frames: None,
            kept: None,
            confounds: None,
            coverage: None,
            stacked: None,
            events_s: Vec::new(),
        }
    }

    #[test]
    fn a_parcel_is_counted_over_the_scans_that_are_there() {
        let first = unit(&[8], Some(vec![0.5, 0.0]));
        let units = [Some(first), None, Some(unit(&[], Some(vec![1.0, 0.25])))];
        let parcels = parcels(units);
        let found = of_parcels(&parcels);
        assert_eq!((found[0].n_lost, found[0].mean, found[0].least), (0, Some(0.75), Some(0.5)));
        assert_eq!((found[1].n_lost, found[1].mean, found[1].least), (1, Some(0.125), Some(0.0)));
        let said = sentence(&parcels).unwrap();
        assert_eq!(said, "1 of 2 scans lack data of parcels (at most 1 of 2): B in 1 scan");
        let table = table(&parcels, &[scan("a"), scan("b"), scan("c")]);
        assert_eq!(table, "scan\tn_lost\tlost\tA\tB\na\t1\tB\t0.5\t0\nc\t0\tn/a\t1\t0.25\n");
    }

    #[test]
    fn series_of_parcels_have_no_shares_but_may_lack_some() {
        let parcels = parcels([unit(&[], None), unit(&[3], None)].map(Some));
        assert_eq!((of_parcels(&parcels)[0].n_lost, of_parcels(&parcels)[0].mean), (1, None));
        let table = table(&parcels, &[scan("a"), scan("b")]);
        assert_eq!(table.lines().nth(2), Some("b\t1\tA\tn/a\tn/a"));
        let whole = self::parcels([Some(unit(&[], None))]);
        assert_eq!(sentence(&whole), None);
    }
}
