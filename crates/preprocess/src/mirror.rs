//! Left and right: of the atlas before a scan is opened, and of each scan beside the others.
//!
//! The geometry of a scan is what its affine says. A file whose voxels were flipped and whose
//! affine was not says something wrong, and nothing in it tells. Two things outside it do: the
//! parcels' coordinates against their voxels, for the atlas; and the other scans of the cohort,
//! because a mean image in standard space is more like that of other people as it is than mirrored.
use std::path::Path;

use scan::{Bold, Orientation, Parcel};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Error, Result, StoredSeries};

/// Fewer scans than these say nothing about another one.
const LEAST: usize = 5;

/// When a scan counts as mirrored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MirrorCheck {
    /// By how much its mean signal, in parcels or in the voxels of the head, is better correlated with
    /// that of the other scans when left and right are exchanged.
    pub margin: f64,
}

/// How the scans of a cohort look, for one that is not of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LeftRightTemplate {
    /// Their standardised mean signals in each parcel or block of voxels, the median of them; none
    /// where they are too few to say anything.
    template: Option<Vec<f64>>,
}

impl LeftRightTemplate {
    /// Of scans that nobody compares.
    pub const NONE: Self = Self { template: None };
}

/// Where that of a cohort lies, in the result of a stage and in a package.
pub const LEFT_RIGHT_TEMPLATE: &str = "likeness.json";

/// Which places of a look lie opposite each other.
pub struct LeftRightPairs {
    /// The stage that compares.
    pub stage: &'static str,
    /// What the places are, in words.
    what: &'static str,
    /// For each place the one on the other side.
    partner: Vec<usize>,
    /// Whether only places are compared that are brighter than the mean on both sides: a dark
    /// background agrees with itself, whatever lies in it.
    bright: bool,
}

impl LeftRightPairs {
    /// Of the parcels of an atlas.
    pub fn of_parcels(parcels: &[Parcel]) -> Result<Self> {
        let stage = "parcellate";
        let partner = partners(parcels).ok_or_else(|| {
            let problem = "mirror_check needs the place of every parcel: give atlas.coordinates";
            Error::StageInput { stage, problem: problem.to_owned() }
        })?;
        Ok(Self { stage, what: "parcels", partner, bright: false })
    }

    /// Of the voxels of a grid whose axes point to `axes`, joined into blocks.
    pub fn of_grid(shape: [usize; 3], axes: Orientation) -> Self {
        let across = across(axes);
        let blocks = blocks(shape, across);
        let [_, ny, nz] = blocks;
        let at = |[x, y, z]: [usize; 3]| (x * ny + y) * nz + z;
        let mut partner = Vec::with_capacity(blocks.iter().product());
        for place in ndarray::indices((blocks[0], ny, nz)) {
            let mut opposite = [place.0, place.1, place.2];
            opposite[across] = blocks[across] - 1 - opposite[across];
            partner.push(at(opposite));
        }
        Self { stage: "volumes", what: "voxels", partner, bright: true }
    }
}

/// The axis between left and right.
fn across(axes: Orientation) -> usize {
    axes.to_string().find(['L', 'R']).unwrap_or(0)
}

/// The most blocks along an axis; a head is told from its mirror image by fewer.
const MOST_BLOCKS: usize = 24;

/// How many voxels a block has along an axis, where at most so many blocks may stand in `n_voxels`.
fn side(n_voxels: usize, most: usize) -> usize {
    n_voxels.div_ceil(most).max(1)
}

/// Blocks along each axis; across, both halves are divided alike from outside to the middle.
fn blocks(shape: [usize; 3], across: usize) -> [usize; 3] {
    let mut blocks = shape.map(|n| n.div_ceil(side(n, MOST_BLOCKS)));
    let half = shape[across] / 2;
    blocks[across] = 2 * half.div_ceil(side(half, MOST_BLOCKS / 2));
    blocks
}

/// The block of a voxel along an axis across; none for one in the middle.
fn block_across(voxel: usize, n_voxels: usize) -> Option<usize> {
    let half = n_voxels / 2;
    let (size, last) = (side(half, MOST_BLOCKS / 2), n_voxels - 1 - voxel);
    if voxel < half {
        Some(voxel / size)
    } else if last < half {
        Some(2 * half.div_ceil(size) - 1 - last / size)
    } else {
        None
    }
}

/// The mean signal of each block of a run whose axes point to `axes`, standardised.
pub fn look_of_run(run: &Bold, axes: Orientation) -> Vec<f64> {
    let (shape, across) = (run.grid_shape(), across(axes));
    let blocks = blocks(shape, across);
    let [_, ny, nz] = blocks;
    let mut sums = vec![(0.0_f64, 0_usize); blocks.iter().product()];
    for place in ndarray::indices((shape[0], shape[1], shape[2])) {
        let voxel = [place.0, place.1, place.2];
        let Some(side_block) = block_across(voxel[across], shape[across]) else { continue };
        let mut block = [0, 1, 2].map(|axis| voxel[axis] / side(shape[axis], MOST_BLOCKS));
        block[across] = side_block;
        let frames = run.data().slice(ndarray::s![voxel[0], voxel[1], voxel[2], ..]);
        let (sum, n) = &mut sums[(block[0] * ny + block[1]) * nz + block[2]];
        *sum += frames.iter().map(|&x| f64::from(x)).sum::<f64>();
        *n += 1;
    }
    let n_frames = run.n_frames().max(1) as f64;
    standard(sums.into_iter().map(|(sum, n)| sum / (n.max(1) as f64 * n_frames)).collect())
}

/// Refuses coordinates that lie mirrored to the voxels of their parcels.
pub(super) fn check_places(path: &Path, voxels: &[Parcel], table: &[Parcel]) -> Result<()> {
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

impl LeftRightTemplate {
    /// What is wrong with each scan of a cohort beside the others, `None` where nothing is; and how
    /// those look that are as they should be. `looks` has none of scans that are not there.
    pub fn of_cohort(
        check: &MirrorCheck,
        sides: &LeftRightPairs,
        looks: &[Option<Vec<f64>>],
    ) -> (Vec<Option<String>>, Self) {
        let all = Sorted::of(looks);
        let problem = |own: &Vec<f64>| check.problem(sides, judge(own, &all, sides)?);
        let problems: Vec<Option<String>> =
            looks.iter().map(|own| own.as_ref().and_then(problem)).collect();
        let alike = looks.iter().zip(&problems).filter(|(_, problem)| problem.is_none());
        let alike: Vec<&Vec<f64>> = alike.filter_map(|(look, _)| look.as_ref()).collect();
        (problems, Self { template: template(&alike) })
    }
}

impl MirrorCheck {
    /// A margin below 0 would leave out scans that are as they should be.
    pub fn check(&self, stage: &'static str) -> Result<()> {
        if self.margin >= 0.0 {
            return Ok(());
        }
        let (field, found) = ("mirror_check.margin", self.margin.to_string());
        Err(Error::Setting { stage, field, found, expected: "0 or more".to_owned() })
    }

    /// Refuses a scan that agrees better with those of a cohort when it is mirrored.
    pub fn one(
        &self,
        left_right: &LeftRightTemplate,
        sides: &LeftRightPairs,
        look: &[f64],
    ) -> Result<()> {
        let Some(template) = &left_right.template else { return Ok(()) };
        if template.len() != look.len() {
            let (found, expected) = (look.len(), template.len());
            let problem = format!("compares {found} places with {expected} of the cohort");
            return Err(Error::StageInput { stage: sides.stage, problem });
        }
        let agreement = agreement(look, template, sides);
        let refuse = |problem| Err(Error::StageInput { stage: sides.stage, problem });
        self.problem(sides, agreement).map_or(Ok(()), refuse)
    }

    fn problem(&self, sides: &LeftRightPairs, (straight, mirrored): (f64, f64)) -> Option<String> {
        (mirrored - straight > self.margin).then(|| {
            let what = sides.what;
            format!(
                "left and right seem exchanged: the mean signal of its {what} correlates with that \
                 of the other scans at {straight:.2}, and at {mirrored:.2} when it is mirrored"
            )
        })
    }
}

/// The mean signal of each parcel, standardised.
pub fn look(series: &StoredSeries) -> Vec<f64> {
    standard(series.values.mean_axis(ndarray::Axis(0)).expect("a series has frames").to_vec())
}

/// Correlation with what the other scans have in common, as it is and mirrored.
fn judge(own: &[f64], all: &Sorted, sides: &LeftRightPairs) -> Option<(f64, f64)> {
    Some(agreement(own, &all.template_without(own)?, sides))
}

/// The values of each parcel over all scans, in order: so a cohort is sorted once, not for each scan.
struct Sorted(Vec<Vec<f64>>);

impl Sorted {
    fn of(means: &[Option<Vec<f64>>]) -> Self {
        let means: Vec<&Vec<f64>> = means.iter().flatten().collect();
        let n_parcels = means.first().map_or(0, |mean| mean.len());
        let sorted = |parcel: usize| {
            let mut values: Vec<f64> = means.iter().map(|mean| mean[parcel]).collect();
            values.sort_by(f64::total_cmp);
            values
        };
        Self((0..n_parcels).map(sorted).collect())
    }

    /// [`template`] of all scans but `own`, which is one of them.
    fn template_without(&self, own: &[f64]) -> Option<Vec<f64>> {
        let n_others = self.0.first()?.len() - 1;
        if n_others < LEAST {
            return None;
        }
        let middle = |(values, own): (&Vec<f64>, &f64)| {
            let at = values.partition_point(|value| value.total_cmp(own).is_lt());
            let middle = n_others / 2;
            values[if middle < at { middle } else { middle + 1 }]
        };
        Some(standard(self.0.iter().zip(own).map(middle).collect()))
    }
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
fn agreement(own: &[f64], template: &[f64], sides: &LeftRightPairs) -> (f64, f64) {
    let partner = &sides.partner;
    let is_compared =
        |at: &usize| !sides.bright || (template[*at] > 0.0 && template[partner[*at]] > 0.0);
    let places: Vec<usize> = (0..template.len()).filter(is_compared).collect();
    let of = |value: &dyn Fn(usize) -> f64| -> Vec<f64> {
        let values = places.iter().map(|&at| value(at)).collect();
        // what is a part of the whole has another mean
        if sides.bright { standard(values) } else { values }
    };
    let expected = of(&|at| template[at]);
    let agree = |values: &[f64]| {
        let sum: f64 = values.iter().zip(&expected).map(|(a, b)| a * b).sum();
        sum / expected.len() as f64
    };
    (agree(&of(&|at| own[at])), agree(&of(&|at| own[partner[at]])))
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
        let sides = LeftRightPairs { stage: "parcellate", what: "parcels", partner, bright: false };
        let person = |noise: f64| Some(standard(vec![9.0 + noise, 5.0, 3.0 - noise, 1.0]));
        let mut means: Vec<_> = (0..6).map(|idx| person(0.1 * f64::from(idx))).collect();
        means.push(Some(standard(vec![5.0, 9.0, 1.0, 3.0])));
        let all = Sorted::of(&means);
        let own = |idx: usize| means[idx].as_ref().unwrap();
        let gain = |idx: usize| judge(own(idx), &all, &sides).map(|(a, b)| b - a).unwrap();
        assert!(gain(0) < -0.1 && gain(5) < -0.1);
        assert!(gain(6) > 0.1, "{}", gain(6));
        assert!(judge(own(0), &Sorted::of(&means[..3]), &sides).is_none());
        for idx in 0..means.len() {
            let others = means.iter().enumerate().filter(|(other, _)| *other != idx);
            let others: Vec<&Vec<f64>> = others.map(|(_, mean)| mean.as_ref().unwrap()).collect();
            assert_eq!(all.template_without(own(idx)), template(&others));
        }
    }

    #[test]
    fn blocks_of_voxels_lie_opposite_each_other() {
        for n in [1, 2, 13, 14, 48, 91, 96] {
            let sides = LeftRightPairs::of_grid([n, 3, 2], "LAS".parse().unwrap());
            let there_and_back = |at: usize| sides.partner[sides.partner[at]] == at;
            assert!((0..sides.partner.len()).all(there_and_back), "{n}");
            let n_blocks = blocks([n, 3, 2], 0)[0];
            assert!(n_blocks <= MOST_BLOCKS);
            for voxel in 0..n {
                let opposite = block_across(n - 1 - voxel, n).map(|block| n_blocks - 1 - block);
                assert_eq!(block_across(voxel, n), opposite, "{voxel} of {n}");
            }
        }
        assert_eq!(across("PIR".parse().unwrap()), 2);
    }
}
