//! Left and right: of the atlas before a scan is opened, and of each scan beside the others.
//!
//! The geometry of a scan is what its affine says. A file whose voxels were flipped and whose
//! affine was not says something wrong, and nothing in it tells. Two things outside it do: the
//! parcels' coordinates against their voxels, for the atlas; and the other scans of the cohort,
//! because a mean image in standard space is more like that of other people as it is than mirrored.
use std::path::Path;

use scan::{Atlas, Parcel};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Error, Result,
    event::{Control, Event},
    files,
    stage::{
        parcellate::StoredSeries,
        work::{read_failures, write_failures},
    },
    state::{Failure, State},
    units,
};

const STAGE: &str = "parcellate";

/// Fewer scans than these say nothing about another one.
const LEAST: usize = 5;

/// When a scan counts as mirrored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MirrorCheck {
    /// By how much the mean signal of its parcels is better correlated with that of the other scans
    /// when left and right are exchanged.
    pub margin: f64,
}

/// How the scans of a cohort look, for one that is not of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Likeness {
    /// Their standardised mean signals in each parcel, the median of them; none where they are too
    /// few to say anything.
    template: Option<Vec<f64>>,
}

pub(crate) const LIKENESS: &str = "likeness.json";

/// Refuses coordinates that lie mirrored to the voxels of their parcels.
pub(crate) fn check_places(path: &Path, voxels: &[Parcel], table: &[Parcel]) -> Result<()> {
    let pairs: Vec<([f64; 3], [f64; 3])> = table
        .iter()
        .filter_map(|parcel| {
            let same = voxels.iter().find(|it| it.label == parcel.label)?;
            Some((same.centre_mm?, parcel.centre_mm?))
        })
        .collect();
    let apart = |exchange: f64| {
        let distances = pairs.iter().map(|(voxels, table)| {
            let x = exchange * voxels[0] - table[0];
            (x * x + (voxels[1] - table[1]).powi(2) + (voxels[2] - table[2]).powi(2)).sqrt()
        });
        median(distances.collect())
    };
    let (straight, mirrored) = (apart(1.0), apart(-1.0));
    if pairs.is_empty() || straight <= 10.0 {
        return Ok(());
    }
    let problem = if mirrored < straight / 2.0 {
        format!(
            "parcels lie {straight:.0} mm from their voxels (median), and {mirrored:.0} mm when left \
             and right are exchanged: the labels image is mirrored"
        )
    } else {
        format!("parcels lie {straight:.0} mm from their voxels (median), expected 10 mm at most")
    };
    Err(Error::Arrays { path: path.to_owned(), problem })
}

/// Takes scans out of the finished stage in `dir` that agree better with the others when mirrored.
pub(crate) fn leave_out(
    check: &MirrorCheck,
    state: &State<'_>,
    atlas: &Atlas,
    dir: &Path,
    control: &mut Control<'_>,
) -> Result<()> {
    let stage = STAGE;
    let listed = units::listed(state, stage, dir)?;
    let partner = partners_of(atlas)?;
    let mut means = Vec::with_capacity(listed.len());
    for unit in &listed {
        control.checkpoint()?;
        means.push(unit.as_ref().map(|unit| Ok(look(&StoredSeries::read(unit)?))));
    }
    let means: Vec<Option<Vec<f64>>> =
        means.into_iter().map(Option::transpose).collect::<Result<_>>()?;
    let mut failures = read_failures(dir)?;
    let mut kept = Vec::with_capacity(listed.len());
    for (idx, unit) in listed.iter().enumerate() {
        let agreement = judge(&means, idx, &partner);
        if let Some(reason) = agreement.and_then(|it| check.problem(it)) {
            let unit = state.scans()[idx].name.clone();
            control.tell(Event::UnitFailed { stage, unit, reason: reason.clone() });
            failures.push(Failure { scan_idx: idx, reason, passing: false });
            kept.push(None);
        } else {
            kept.push(unit.as_ref().map(|unit| unit.key.clone()));
        }
    }
    let alike =
        means.iter().zip(&kept).filter_map(|(mean, key)| mean.as_ref().filter(|_| key.is_some()));
    let template = template(&alike.collect::<Vec<_>>());
    files::write_json(&dir.join(LIKENESS), &Likeness { template })?;
    failures.sort_by_key(|failure| failure.scan_idx);
    files::write_json(&dir.join(units::UNITS), &serde_json::json!({ "keys": kept }))?;
    write_failures(dir, &failures)
}

impl MirrorCheck {
    /// Refuses a scan that agrees better with those of a cohort when it is mirrored.
    pub(crate) fn one(
        &self,
        likeness: &Likeness,
        atlas: &Atlas,
        series: &StoredSeries,
    ) -> Result<()> {
        let Some(template) = &likeness.template else { return Ok(()) };
        let agreement = agreement(&look(series), template, &partners_of(atlas)?);
        let refuse = |problem| Err(Error::StageInput { stage: STAGE, problem });
        self.problem(agreement).map_or(Ok(()), refuse)
    }

    fn problem(&self, (straight, mirrored): (f64, f64)) -> Option<String> {
        (mirrored - straight > self.margin).then(|| {
            format!(
                "left and right seem exchanged: the mean signal of its parcels correlates with that \
                 of the other scans at {straight:.2}, and at {mirrored:.2} when it is mirrored"
            )
        })
    }
}

/// The mean signal of each parcel, standardised.
fn look(series: &StoredSeries) -> Vec<f64> {
    standard(series.values.mean_axis(ndarray::Axis(0)).expect("a series has frames").to_vec())
}

fn partners_of(atlas: &Atlas) -> Result<Vec<usize>> {
    partners(atlas.parcels()).ok_or_else(|| {
        let problem = "mirror_check needs the place of every parcel".to_owned();
        Error::StageInput { stage: STAGE, problem }
    })
}

/// Correlation with the mean of the other scans, as it is and mirrored.
fn judge(means: &[Option<Vec<f64>>], idx: usize, partner: &[usize]) -> Option<(f64, f64)> {
    let own = means[idx].as_ref()?;
    let others: Vec<&Vec<f64>> = means
        .iter()
        .enumerate()
        .filter_map(|(other, mean)| mean.as_ref().filter(|_| other != idx))
        .collect();
    Some(agreement(own, &template(&others)?, partner))
}

/// What scans have in common; none where they are too few.
fn template(means: &[&Vec<f64>]) -> Option<Vec<f64>> {
    if means.len() < LEAST {
        return None;
    }
    // the median is not moved by a few that are mirrored themselves
    let middle = |parcel: usize| median(means.iter().map(|mean| mean[parcel]).collect());
    Some(standard((0..means[0].len()).map(middle).collect()))
}

/// Correlation with `template`, as it is and mirrored.
fn agreement(own: &[f64], template: &[f64], partner: &[usize]) -> (f64, f64) {
    let agree = |values: &mut dyn Iterator<Item = f64>| {
        let sum: f64 = values.zip(template).map(|(a, b)| a * b).sum();
        sum / template.len() as f64
    };
    let straight = agree(&mut own.iter().copied());
    (straight, agree(&mut partner.iter().map(|&parcel| own[parcel])))
}

/// For each parcel the one nearest to its mirror image; none where a parcel has no place.
fn partners(parcels: &[Parcel]) -> Option<Vec<usize>> {
    let places: Vec<[f64; 3]> =
        parcels.iter().map(|parcel| parcel.centre_mm).collect::<Option<_>>()?;
    let nearest = |[x, y, z]: [f64; 3]| {
        let apart = |place: &[f64; 3]| {
            (place[0] + x).powi(2) + (place[1] - y).powi(2) + (place[2] - z).powi(2)
        };
        let order = places.iter().enumerate();
        order.min_by(|a, b| apart(a.1).total_cmp(&apart(b.1))).map(|(idx, _)| idx)
    };
    places.iter().map(|&place| nearest(place)).collect()
}

/// Mean 0 and mean square 1; zeros where nothing varies.
fn standard(mut values: Vec<f64>) -> Vec<f64> {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let deviation = (values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n).sqrt();
    let scale = if deviation > 0.0 { 1.0 / deviation } else { 0.0 };
    values.iter_mut().for_each(|x| *x = (*x - mean) * scale);
    values
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parcel(label: i32, centre_mm: [f64; 3]) -> Parcel {
        Parcel { label, name: String::new(), centre_mm: Some(centre_mm) }
    }

    fn four() -> Vec<Parcel> {
        [[-40.0, 0.0, 0.0], [40.0, 0.0, 2.0], [-30.0, 20.0, 9.0], [30.0, 21.0, 9.0]]
            .into_iter()
            .zip(1..)
            .map(|(place, label)| parcel(label, place))
            .collect()
    }

    #[test]
    fn coordinates_of_a_mirrored_labels_image_are_refused() {
        let table = four();
        check_places(Path::new("a.dat"), &table, &table).unwrap();
        let flipped: Vec<Parcel> = table
            .iter()
            .map(|it| {
                let [x, y, z] = it.centre_mm.unwrap();
                parcel(it.label, [-x, y, z])
            })
            .collect();
        let said = check_places(Path::new("a.dat"), &flipped, &table).unwrap_err().to_string();
        assert!(said.contains("80 mm from their voxels (median), and 0 mm"), "{said}");
        let moved: Vec<Parcel> = table
            .iter()
            .map(|it| parcel(it.label, it.centre_mm.unwrap().map(|x| x + 20.0)))
            .collect();
        let said = check_places(Path::new("a.dat"), &moved, &table).unwrap_err().to_string();
        assert!(said.contains("expected 10 mm at most"), "{said}");
    }

    #[test]
    fn a_scan_unlike_the_others_but_like_their_mirror_image_is_told() {
        let partner = partners(&four()).unwrap();
        assert_eq!(partner, [1, 0, 3, 2]);
        let person = |noise: f64| Some(standard(vec![9.0 + noise, 5.0, 3.0 - noise, 1.0]));
        let mut means: Vec<_> = (0..6).map(|idx| person(0.1 * f64::from(idx))).collect();
        means.push(Some(standard(vec![5.0, 9.0, 1.0, 3.0])));
        let gain = |idx: usize| judge(&means, idx, &partner).map(|(a, b)| b - a).unwrap();
        assert!(gain(0) < -0.1 && gain(5) < -0.1);
        assert!(gain(6) > 0.1, "{}", gain(6));
        assert!(judge(&means[..3], 0, &partner).is_none());
    }
}
