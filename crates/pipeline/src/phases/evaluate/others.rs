//! The same reports with what is not the own scan: none, the mean one, surrogates, scans without the place of a
//! slot, and prompts that contradict the scan.
use std::{collections::BTreeMap, sync::Arc};

use flamingo::{IMAGE, Medium, Request};
use rand::{Rng, SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use report::{
    compose::Parcellation,
    evidence::{ConditionKind, Occluded, OccludedSlot, Substitute, ToldOtherwise},
    slots::{Author, Place},
};
use scan::{Phases, Split};

use super::{
    config::EvaluateConfig,
    evaluation::Written,
    measure::generation,
    said::{self, Texts, written},
};
use crate::{
    Error, Result,
    answers::{self, Query},
    event::Control,
    media::Media,
    stage::{Altered, Change, prepared_series},
};

/// What was measured beside scans of other people.
pub(super) struct Others {
    pub(super) substitutes: Vec<Substitute>,
    pub(super) occluded: Vec<OccludedSlot>,
    pub(super) told: Option<ToldOtherwise>,
}

/// The test windows and what is known of them.
pub(super) struct Tested<'a> {
    pub(super) config: &'a EvaluateConfig,
    pub(super) written: &'a Written<'a>,
    pub(super) test: &'a [usize],
    pub(super) texts: &'a Texts,
}

impl Others {
    pub(super) fn measure(tested: &Tested<'_>, control: &mut Control<'_>) -> Result<Self> {
        let media = tested.written.media;
        let altered = Altered::open(media)?;
        let mut substitutes = vec![tested.without_scan(control)?, tested.mean_scan(control)?];
        for surrogate in SURROGATES {
            substitutes.push(tested.surrogate(&altered, surrogate, control)?);
        }
        let occluded = tested.occluded(&altered, control)?;
        let told = tested.told_otherwise(control)?;
        Ok(Self { substitutes, occluded, told })
    }
}

/// What is shown in place of a scan, in words and as the name of what is kept, and what is changed.
type Surrogate = (ConditionKind, &'static str, &'static str, Change<'static>);

const SURROGATES: [Surrogate; 3] = [
    (
        ConditionKind::PhaseRandomised,
        "own scan, phases random by column",
        "phases",
        Change::Phases(Phases::Own),
    ),
    (
        ConditionKind::PhaseRandomisedTogether,
        "own scan, phases random for all columns together",
        "phases-together",
        Change::Phases(Phases::Common),
    ),
    (ConditionKind::TimePermuted, "own scan, frames in random order", "permuted", Change::Permuted),
];

/// Likelihood of the true report and the text of each test window.
struct Shown {
    nll: Vec<f64>,
    texts: Vec<String>,
}

impl Tested<'_> {
    /// The likelihoods of the true reports with `media`, one a test window.
    fn nll(
        &self,
        name: &str,
        shown: &[Option<Arc<Medium>>],
        control: &mut Control<'_>,
    ) -> Result<Vec<f64>> {
        let Written { media, trained, reading, .. } = *self.written;
        let items = self.test.iter().zip(shown).map(|(&row, medium)| {
            let shown = medium.as_ref().map(|scan| media.named.with(row, Arc::clone(scan)));
            let query = Query { prompt: media.prompt(row), media: shown.unwrap_or_default() };
            query.scored(&media.cohort().rows[row].report)
        });
        let items: Vec<_> = items.collect();
        let (name, size) = (format!("nll-{name}"), self.config.batch_size);
        let found = answers::likelihoods(&trained.model, (&name, &items), size, reading, control)?;
        Ok(found.into_iter().map(|it| -it.sum / it.n_tokens as f64).collect())
    }

    /// What is written after `prompts` with the scans `shown`, one a row; one that is asked for twice is
    /// written once.
    fn texts(
        &self,
        name: &str,
        (rows, prompts): (&[usize], &[String]),
        shown: &[Arc<Medium>],
        control: &mut Control<'_>,
    ) -> Result<Vec<String>> {
        let Written { media, trained, reading, .. } = *self.written;
        let has_several = media.named.names().next().is_some();
        let mut place: BTreeMap<(&str, usize, Option<usize>), usize> = BTreeMap::new();
        let mut queries: Vec<Query> = Vec::new();
        let places: Vec<usize> = prompts
            .iter()
            .zip(shown)
            .zip(rows)
            .map(|((prompt, medium), &row)| {
                let beside = has_several.then_some(row);
                *place.entry((prompt, Arc::as_ptr(medium).addr(), beside)).or_insert_with(|| {
                    let shown = media.named.with(row, Arc::clone(medium));
                    queries.push(Query { prompt: prompt.clone(), media: shown });
                    queries.len() - 1
                })
            })
            .collect();
        let (name, config) = (format!("texts-{name}"), generation(media));
        let (model, slots) = (&trained.model, media.slots());
        let texts = answers::texts(model, slots, (&name, &queries), config, reading, control)?;
        Ok(places.into_iter().map(|place| texts[place].text.clone()).collect())
    }

    fn shown(
        &self,
        name: &str,
        shown: Vec<Arc<Medium>>,
        control: &mut Control<'_>,
    ) -> Result<Shown> {
        let media = self.written.media;
        let prompts: Vec<String> = self.test.iter().map(|&row| media.prompt(row)).collect();
        let texts = self.texts(name, (self.test, &prompts), &shown, control)?;
        let shown: Vec<_> = shown.into_iter().map(Some).collect();
        Ok(Shown { nll: self.nll(name, &shown, control)?, texts })
    }

    fn substitute(&self, (kind, name): (ConditionKind, &str), shown: Shown) -> Substitute {
        let media = self.written.media;
        let texts = self.test.iter().zip(&shown.texts);
        let right = texts.map(|(&row, text)| said::right(media, row, text)).collect();
        Substitute { kind, name: name.to_owned(), nll: shown.nll, right, missing: None }
    }

    /// The language model alone.
    fn without_scan(&self, control: &mut Control<'_>) -> Result<Substitute> {
        let media = self.written.media;
        let nll = self.nll("no-scan", &vec![None; self.test.len()], control)?;
        let text = |&row: &usize| written(self.texts, (media.prompt(row), None)).to_owned();
        let texts = self.test.iter().map(text).collect();
        Ok(self.substitute((ConditionKind::NoScan, "no scan"), Shown { nll, texts }))
    }

    /// The mean of what the model is shown of the training windows; where scans have different numbers of
    /// windows, over those too.
    fn mean_scan(&self, control: &mut Control<'_>) -> Result<Substitute> {
        let media = self.written.media;
        let name = (ConditionKind::MeanScan, "mean training scan");
        let mut rows = media.rows_of(Split::Train)?;
        if media.shows_scans() {
            // all rows of a scan are shown the same
            let scan = |row: &usize| media.cohort().rows[*row].scan_idx;
            rows.sort_by_key(scan);
            rows.dedup_by_key(|row| scan(row));
        }
        let first = media.medium(rows[0])?;
        let mut alike = true;
        for &row in &rows {
            alike &= media.medium(row)?.shape() == first.shape();
        }
        let mut sum = None;
        let mut n = 0.0;
        for &row in &rows {
            control.checkpoint()?;
            let medium = media.medium(row)?.mapv(f64::from);
            let (medium, weight) = if alike {
                (medium, 1.0)
            } else {
                let windows = medium.shape()[0];
                (medium.sum_axis(ndarray::Axis(0)).insert_axis(ndarray::Axis(0)), windows as f64)
            };
            n += weight;
            sum = Some(match sum {
                None => medium,
                Some(sum) => sum + medium,
            });
        }
        let sum = sum.expect("rows_of gives rows");
        let mean: Arc<Medium> = Arc::new(sum.mapv(|x| (x / n) as f32));
        let shown = self.shown("mean", vec![mean; self.test.len()], control)?;
        Ok(self.substitute(name, shown))
    }

    fn surrogate(
        &self,
        altered: &Altered<'_>,
        (kind, name, file, change): Surrogate,
        control: &mut Control<'_>,
    ) -> Result<Substitute> {
        match self.changed(altered, change, control)? {
            Ok(media) => {
                let shown = self.shown(file, media, control)?;
                Ok(self.substitute((kind, name), shown))
            }
            Err(reason) => Ok(Substitute::missing(kind, name, reason)),
        }
    }

    /// What the model is shown of each test window after a change, or why it can be shown nothing.
    fn changed(
        &self,
        altered: &Altered<'_>,
        change: Change<'_>,
        control: &mut Control<'_>,
    ) -> Result<Result<Vec<Arc<Medium>>, String>> {
        let media = self.written.media;
        if let Altered::Nowhere(reason) = altered {
            return Ok(Err((*reason).to_owned()));
        }
        let seed = media.run.seed;
        // all rows of a scan are shown the same
        let mut of_scans: BTreeMap<usize, Arc<Medium>> = BTreeMap::new();
        let mut all = Vec::with_capacity(self.test.len());
        for &row in self.test {
            control.checkpoint()?;
            let idx = media.cohort().rows[row].scan_idx;
            if let (Some(known), true) = (of_scans.get(&idx), media.shows_scans()) {
                all.push(Arc::clone(known));
                continue;
            }
            match altered.medium(media, row, change, seed) {
                Ok(medium) => {
                    of_scans.insert(idx, Arc::clone(&medium));
                    all.push(medium);
                }
                Err(Error::Encoder(error)) => {
                    return Ok(Err(format!("the encoder refuses it: {error}")));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(Ok(all))
    }

    /// Every slot that the model states, without the parcels of its place and without as many others.
    fn occluded(
        &self,
        altered: &Altered<'_>,
        control: &mut Control<'_>,
    ) -> Result<Vec<OccludedSlot>> {
        let media = self.written.media;
        let slots = media.slots();
        let stated = || {
            let all = slots.slots().iter().enumerate();
            all.filter(|(_, slot)| slot.stated_by == Author::Model)
        };
        if stated().all(|(_, slot)| slot.evidence.is_none()) {
            // a table of refusals alone says nothing
            return Ok(Vec::new());
        }
        let parcels = match altered {
            Altered::Series(_) | Altered::Windows if media.parcels.is_none() => {
                Err("the model reads voxels, and its place is parcels".to_owned())
            }
            Altered::Series(_) | Altered::Windows => Ok(TrainingParcels::of(media, control)?),
            Altered::Nowhere(reason) => Err((*reason).to_owned()),
        };
        // slots of one place share what is shown
        let mut places: BTreeMap<Vec<usize>, Result<[Shown; 2], String>> = BTreeMap::new();
        let mut found = Vec::new();
        for (idx, slot) in stated() {
            let cannot = |reason: String| Err(format!("not occludable: {reason}"));
            let occluded = match (&slot.evidence, &parcels) {
                (None, _) => cannot("it has no place".to_owned()),
                (_, Err(reason)) => cannot(reason.clone()),
                (Some(place), Ok(parcels)) => match parcels.of_place(place, media.run.seed) {
                    Err(reason) => cannot(reason),
                    Ok([inside, outside]) => {
                        if !places.contains_key(&inside) {
                            let name = format!("place-{}", places.len());
                            let shown = self.without(
                                altered,
                                &name,
                                parcels,
                                [&inside, &outside],
                                control,
                            )?;
                            places.insert(inside.clone(), shown);
                        }
                        match &places[&inside] {
                            Err(reason) => cannot(reason.clone()),
                            Ok([without, other]) => Ok(Occluded {
                                n_parcels: inside.len(),
                                own: self.stated(idx, &self.own_texts()),
                                without: self.stated(idx, &without.texts),
                                control: self.stated(idx, &other.texts),
                                nll_without: without.nll.clone(),
                                nll_control: other.nll.clone(),
                            }),
                        }
                    }
                },
            };
            let place = slot.evidence.as_ref().map(Place::to_string);
            found.push(OccludedSlot { slot: slot.name.clone(), place, occluded });
        }
        Ok(found)
    }

    /// Everything without some parcels, and without as many others.
    fn without(
        &self,
        altered: &Altered<'_>,
        name: &str,
        parcels: &TrainingParcels,
        columns: [&[usize]; 2],
        control: &mut Control<'_>,
    ) -> Result<Result<[Shown; 2], String>> {
        let mut both = Vec::new();
        for (columns, side) in columns.into_iter().zip(["inside", "outside"]) {
            let change = Change::Replaced { columns, by: &parcels.mean };
            match self.changed(altered, change, control)? {
                Ok(media) => both.push(self.shown(&format!("{name}-{side}"), media, control)?),
                Err(reason) => return Ok(Err(reason)),
            }
        }
        Ok(both.try_into().map_err(|_| unreachable!("two were shown")))
    }

    fn own_texts(&self) -> Vec<String> {
        let media = self.written.media;
        let text = |&row: &usize| written(self.texts, (media.prompt(row), Some(row))).to_owned();
        self.test.iter().map(text).collect()
    }

    /// What texts state in a slot; a number by its bin.
    fn stated(&self, slot_idx: usize, texts: &[String]) -> Vec<Option<String>> {
        let slots = self.written.media.slots();
        let slot = &slots.slots()[slot_idx];
        let stated = |text: &String| {
            slots.parse(text).slots[slot_idx].value().map(|value| slot.label(value))
        };
        texts.iter().map(stated).collect()
    }

    /// Reports after a prompt that states a wrong value of the first scored slot that has several.
    fn told_otherwise(&self, control: &mut Control<'_>) -> Result<Option<ToldOtherwise>> {
        let Written { media, trained, .. } = *self.written;
        let slots = media.slots();
        let mut scored = slots.scored_idxs().iter().copied();
        let Some(idx) = scored.find(|&idx| slots.slots()[idx].is_one_of_values()) else {
            return Ok(None);
        };
        let slot = &slots.slots()[idx];
        let plain = self.stated(idx, &self.own_texts());
        let limit = generation(media).max_new_tokens;
        let mut told = vec![None; self.test.len()];
        let (mut prompts, mut shown, mut at) = (Vec::new(), Vec::new(), Vec::new());
        for (place, &row) in self.test.iter().enumerate() {
            let Some(truth) = media.cohort().rows[row].truths[idx].as_deref() else { continue };
            let others: Vec<&String> = slot
                .values
                .keys()
                .filter(|value| *value != truth && Some(*value) != plain[place].as_ref())
                .collect();
            let seed = media.run.seed.wrapping_add(row as u64);
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            if others.is_empty() {
                continue;
            }
            let value = others[rng.random_range(0..others.len())];
            let Some(sentence) = slot.sentence(value, 0) else { continue };
            let prompt = told_first(&sentence, &media.prompt(row));
            let medium = media.medium(row)?;
            let all = media.named.with(row, Arc::clone(&medium));
            let query = Query { prompt: prompt.clone(), media: all };
            let request = Request { prompt: query.prompt(), media: query.media, stream: None };
            if trained.model.check(&request, limit).is_err() {
                continue;
            }
            told[place] = Some(slot.label(value));
            prompts.push(prompt);
            shown.push(medium);
            at.push(place);
        }
        let rows: Vec<usize> = at.iter().map(|&place| self.test[place]).collect();
        let texts = self.texts("told", (&rows, &prompts), &shown, control)?;
        let mut stated = vec![None; self.test.len()];
        for (place, said) in at.into_iter().zip(self.stated(idx, &texts)) {
            stated[place] = said;
        }
        Ok(Some(ToldOtherwise { slot: slot.name.clone(), told, stated, plain }))
    }
}

/// A prompt that begins with a sentence, behind the media that it looks at.
fn told_first(sentence: &str, prompt: &str) -> String {
    let last = ["<image:", IMAGE].iter().filter_map(|it| prompt.rfind(it)).max();
    let last = last.and_then(|at| Some(at + prompt[at..].find('>')? + 1));
    let (media, text) = prompt.split_at(last.unwrap_or(0));
    format!("{media}{sentence} {text}")
}

/// Parcels among the training scans.
struct TrainingParcels {
    names: Vec<String>,
    /// Mean over frames and scans.
    mean: Vec<f64>,
    /// Variance over frames, mean over scans.
    variance: Vec<f64>,
}

impl TrainingParcels {
    fn of(media: &Media<'_>, control: &Control<'_>) -> Result<Self> {
        let parcels = media.parcels.as_ref().expect("windows come from series");
        let names: Vec<String> = parcels.about.parcels.iter().map(|it| it.name.clone()).collect();
        let scans = media.trained_on().into_iter().filter(|&idx| parcels.units[idx].is_some());
        let (mut mean, mut variance, mut n) = (vec![0.0; names.len()], vec![0.0; names.len()], 0.0);
        for idx in scans {
            control.checkpoint()?;
            let series = prepared_series(media, idx)?.values;
            for (column, values) in series.columns().into_iter().enumerate() {
                mean[column] += values.mean().unwrap_or_default();
                variance[column] += values.var(0.0);
            }
            n += 1.0;
        }
        mean.iter_mut().chain(&mut variance).for_each(|it| *it /= f64::max(n, 1.0));
        Ok(Self { names, mean, variance })
    }

    /// The columns of a place, and as many others that vary as much, of the same hemisphere where names tell it.
    fn of_place(&self, place: &Place, seed: u64) -> Result<[Vec<usize>; 2], String> {
        let inside = place.columns(&self.names);
        if inside.is_empty() {
            return Err(format!("the atlas has no {place}"));
        }
        let n_others = self.names.len() - inside.len();
        if n_others < inside.len() {
            return Err(format!(
                "{place} has {} of {} parcels, and no as many others are left",
                inside.len(),
                self.names.len()
            ));
        }
        let sides = Parcellation::of_names(&self.names);
        let mut left: Vec<usize> =
            (0..self.names.len()).filter(|column| !inside.contains(column)).collect();
        // whom equal ones fall to is drawn
        left.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
        let mut outside = Vec::with_capacity(inside.len());
        for &column in &inside {
            let other_side = |it: usize| sides.is_left(it) != sides.is_left(column);
            let apart = |it: usize| (self.variance[it] - self.variance[column]).abs();
            let best = (0..left.len()).min_by(|&a, &b| {
                let (a, b) = (left[a], left[b]);
                other_side(a).cmp(&other_side(b)).then(apart(a).total_cmp(&apart(b)))
            });
            outside.push(left.swap_remove(best.expect("as many are left")));
        }
        outside.sort_unstable();
        Ok([inside, outside])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_stands_behind_the_media_and_before_the_words() {
        assert_eq!(told_first("Left.", "Report:"), "Left. Report:");
        assert_eq!(
            told_first("Left.", "<image:a><image:b>Report:"),
            "<image:a><image:b>Left. Report:"
        );
        let in_a_turn = told_first("Left.", "[user]<image>Report:[assistant]");
        assert_eq!(in_a_turn, "[user]<image>Left. Report:[assistant]");
    }

    #[test]
    fn others_are_as_many_as_variable_and_of_the_same_side() {
        let names = ["LH_Vis_1", "RH_Vis_1", "LH_A_1", "LH_A_2", "RH_A_1", "RH_A_2", "RH_A_3"];
        let parcels = TrainingParcels {
            names: names.map(str::to_owned).to_vec(),
            mean: vec![0.0; 7],
            variance: vec![1.0, 4.0, 3.0, 1.1, 1.0, 3.5, 9.0],
        };
        let vis = Place::Network("Vis".to_owned());
        assert_eq!(parcels.of_place(&vis, 1).unwrap(), [vec![0, 1], vec![3, 5]]);
        let wrong = parcels.of_place(&Place::Network("Limbic".to_owned()), 1).unwrap_err();
        assert_eq!(wrong, "the atlas has no network Limbic");
        let all = parcels.of_place(&Place::Network("A".to_owned()), 1).unwrap_err();
        assert_eq!(all, "network A has 5 of 7 parcels, and no as many others are left");
    }
}
