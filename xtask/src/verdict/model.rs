//! One simulated evaluation of a design.
//!
//! `nll = 5 + cell + scan + subject + report + text x window + text x subject - what the model sees`.

use rand::{Rng, SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use report::evidence::{EvidenceInput, Unit};

use super::design::{Design, LabelBy, Writes};

/// How often a subject is at the site where its value is frequent.
const AT_OWN_SITE: f64 = 0.8;

/// A window: its subject, its run (over all subjects) and its place in the run.
#[derive(Clone, Copy)]
struct Place {
    subject: usize,
    run: usize,
    window: usize,
}

/// Random numbers of one model.
struct Draw {
    rng: ChaCha8Rng,
    heavy: bool,
}

impl Draw {
    fn normal(&mut self) -> f64 {
        let (radius, angle): (f64, f64) = (self.rng.random(), self.rng.random());
        (-2.0 * (1.0 - radius).ln()).sqrt() * (std::f64::consts::TAU * angle).cos()
    }

    fn noise(&mut self) -> f64 {
        let normal = self.normal();
        if !self.heavy {
            return normal;
        }
        let chi_squared: f64 = self.rng.random();
        normal / (-(1.0 - chi_squared).ln()).sqrt()
    }

    fn line(&mut self, n: usize) -> Vec<f64> {
        (0..n).map(|_| self.noise()).collect()
    }

    /// A line for each text; with `contrast` what one text gains the others lose.
    fn texts(&mut self, n: usize, design: &Design) -> Vec<Vec<f64>> {
        let k = design.values as f64;
        let mut texts: Vec<Vec<f64>> = (0..design.values).map(|_| self.line(n)).collect();
        if design.contrast {
            for idx in 0..n {
                let mean = texts.iter().map(|line| line[idx]).sum::<f64>() / k;
                for line in &mut texts {
                    line[idx] = (line[idx] - mean) * (k / (k - 1.0)).sqrt();
                }
            }
        }
        texts
    }

    /// Values dealt to `n` units, as evenly as the design says.
    fn deal(&mut self, n: usize, design: &Design) -> Vec<usize> {
        let k = design.values;
        let mut values: Vec<usize> = match design.first_share {
            None => (0..n).map(|idx| idx % k).collect(),
            Some(share) => {
                let first = (share * n as f64).round().min(n as f64 - 2.0) as usize;
                (0..n).map(|idx| if idx < first { 0 } else { 1 + idx % (k - 1) }).collect()
            }
        };
        values.shuffle(&mut self.rng);
        values
    }
}

/// The evaluation of one model.
pub(super) fn simulate(design: &Design, seed: u64) -> EvidenceInput {
    let mut draw = Draw { rng: ChaCha8Rng::seed_from_u64(seed), heavy: design.heavy };
    let subjects = if design.copied { design.subjects / 2 } else { design.subjects };
    let places = places(design, subjects, &mut draw);
    let labels = labels(design, subjects, &places, &mut draw);
    let sites: Vec<usize> = (0..subjects)
        .map(|subject| {
            let first = places.iter().position(|place| place.subject == subject);
            let own = first.map_or(0, |idx| labels[idx]);
            if draw.rng.random_bool(AT_OWN_SITE) { own } else { 1 - own.min(1) }
        })
        .collect();
    let n = places.len();
    let mut text_window = draw.texts(n, design);
    follow(&mut text_window, &places, design.follows);
    let text_subject = draw.texts(subjects, design);
    let (scan, report, subject) = (draw.line(n), draw.line(n), draw.line(subjects));
    // how the text of a value fares with a scan, beside what all texts have in common
    let text = |value: usize, j: usize| {
        let place = places[j];
        design.text_window * text_window[value][j]
            + design.text_subject * text_subject[value][place.subject]
            - effect(value == labels[j], design.label)
            - effect(value == sites[place.subject], design.site)
    };
    let mut nll = vec![vec![0.0; n]; n];
    for (i, row) in nll.iter_mut().enumerate() {
        for (j, cell) in row.iter_mut().enumerate() {
            let place = places[j];
            *cell = 5.0
                + design.cell * draw.noise()
                + design.scan * scan[j]
                + design.subject * subject[place.subject]
                + design.report * report[i]
                + text(labels[i], j)
                - effect(i == j, design.own)
                - effect(places[i].subject == place.subject, design.fingerprint);
        }
    }
    let stated: Vec<Option<String>> = (0..n)
        .map(|j| match design.writes {
            Writes::Nothing => None,
            Writes::Wrong => Some("wrong".to_owned()),
            Writes::Right => Some(name(labels[j])),
            Writes::Likeliest => {
                let scores: Vec<f64> = (0..design.values)
                    .map(|value| {
                        // what does not belong to a text is drawn anew for each
                        design.cell.min(1.0) * draw.noise() + text(value, j)
                            - effect(value == labels[j], design.own)
                    })
                    .collect();
                // zeros of either sign are equal, so that a model without noise always writes the same
                let order = |a: &usize, b: &usize| {
                    scores[*a].partial_cmp(&scores[*b]).unwrap_or(std::cmp::Ordering::Equal)
                };
                let best = (0..design.values).min_by(order);
                best.map(name)
            }
        })
        .collect();
    let copies = if design.copied { 2 } else { 1 };
    input(design, &places, &labels, &sites, &nll, &stated, copies)
}

fn input(
    design: &Design,
    places: &[Place],
    labels: &[usize],
    sites: &[usize],
    nll: &[Vec<f64>],
    stated: &[Option<String>],
    copies: usize,
) -> EvidenceInput {
    let n = places.len();
    let all = || (0..copies).flat_map(|copy| (0..n).map(move |idx| (copy, idx)));
    let unit = |(copy, idx): (usize, usize)| {
        let Place { subject, run, window } = places[idx];
        Unit {
            subject: format!("{subject} name {copy}"),
            scan: run.to_string(),
            window: window.to_string(),
            site: design.site_known.then(|| sites[subject].to_string()),
            scan_digest: format!("digest {run}"),
            ..Unit::default()
        }
    };
    let stated: Vec<Option<String>> = all().map(|(_, idx)| stated[idx].clone()).collect();
    EvidenceInput {
        units: all().map(unit).collect(),
        truth: all().map(|(_, idx)| name(labels[idx])).collect(),
        blocks: vec![(0..copies * n).collect()],
        nll: all().map(|(_, i)| all().map(|(_, j)| nll[i][j]).collect()).collect(),
        value: vec![stated.clone(); copies * n],
        stated,
        no_scan: vec![Some(name(0)); copies * n],
        free_text: None,
        shares: None,
        substitutes: Vec::new(),
        occluded: Vec::new(),
        told_otherwise: None,
        majority: name(0),
        baselines: Vec::new(),
        missing: Vec::new(),
        gates: Vec::new(),
    }
}

fn places(design: &Design, subjects: usize, draw: &mut Draw) -> Vec<Place> {
    let mut places = Vec::new();
    for subject in 0..subjects {
        for run in 0..design.runs {
            let windows = match design.windows {
                0 => draw.rng.random_range(1..=10),
                n => n,
            };
            let run = subject * design.runs + run;
            places.extend((0..windows).map(|window| Place { subject, run, window }));
        }
    }
    places
}

fn labels(design: &Design, subjects: usize, places: &[Place], draw: &mut Draw) -> Vec<usize> {
    let k = design.values;
    match design.label_by {
        LabelBy::Subject | LabelBy::SubjectButOne => {
            let dealt = draw.deal(subjects, design);
            let differs = |place: &Place| {
                usize::from(design.label_by == LabelBy::SubjectButOne && place.window == 0)
            };
            places.iter().map(|place| (dealt[place.subject] + differs(place)) % k).collect()
        }
        LabelBy::Run => {
            let dealt = draw.deal(subjects * design.runs, design);
            places.iter().map(|place| dealt[place.run]).collect()
        }
        LabelBy::Block => places.iter().map(|place| (place.window / 4 + place.run) % k).collect(),
        LabelBy::Window => {
            let runs = places.chunk_by(|a, b| a.run == b.run);
            runs.flat_map(|run| match run {
                [only] => vec![only.run % k],
                _ => draw.deal(run.len(), design),
            })
            .collect()
        }
    }
}

/// Noise of a window that goes on from the window before it in the run.
fn follow(texts: &mut [Vec<f64>], places: &[Place], correlation: f64) {
    if correlation == 0.0 {
        return;
    }
    for line in texts {
        for idx in 1..line.len() {
            if places[idx].run == places[idx - 1].run {
                let fresh = (1.0 - correlation * correlation).sqrt() * line[idx];
                line[idx] = correlation * line[idx - 1] + fresh;
            }
        }
    }
}

fn effect(applies: bool, size: f64) -> f64 {
    if applies { size } else { 0.0 }
}

fn name(value: usize) -> String {
    format!("v{value}")
}
