//! What a package answers: the likelihood of each allowed answer with the own scan, with other ones, and without
//! any.
use std::collections::{BTreeMap, BTreeSet, HashMap};

use flamingo::{LogLikelihood, Model, Scored, classified};
use report::{
    evidence::{Evidence, EvidenceConfig, EvidenceInput, GateOpening, Unit, age_bin, blocks},
    linear::majority_class,
    metrics::Draws,
    questions::{Answered, Dependence, scores},
};
use serde_json::json;

use super::{
    config::{AskConfig, Question},
    metrics::{AskMetrics, QuestionFound},
    others::Others,
    shown::Shown,
};
use crate::{
    Result,
    answers::{Reading, gates},
    aside::aside,
    event::Control,
    media::Media,
    package::Posed,
    plan::{AskPlan, AskedWindow},
};

/// A package that is asked.
pub(super) struct Asking<'a> {
    config: &'a AskConfig,
    plan: &'a AskPlan,
    media: &'a Media<'a>,
    model: &'a Model,
    shown: &'a Shown<'a>,
    reading: &'a Reading,
    /// Windows that can be shown, by their place in the plan.
    there: Vec<usize>,
    /// The same as units of evidence.
    units: Vec<Unit>,
    /// The person of each, from 0.
    person: Vec<usize>,
    /// Whether the model was trained on the scan of each.
    trained_on: Vec<bool>,
    gates: Vec<GateOpening>,
}

/// The answers to one question.
pub(super) struct Answers {
    /// Windows, by their place in the plan.
    pub(super) there: Vec<usize>,
    /// Of each.
    pub(super) answered: Vec<Answered>,
    /// The log-likelihood of each allowed answer with the own scan.
    pub(super) own: Vec<Vec<LogLikelihood>>,
    /// Whether the model was trained on the scan.
    pub(super) trained_on: Vec<bool>,
    /// Windows whose scans were exchanged.
    blocks: Blocks,
    /// Of each window the answers with each scan of its block, in the order of the block.
    cells: Vec<Vec<Cell>>,
}

/// What is answered about one window with one scan.
#[derive(Clone, Copy)]
struct Cell {
    /// The likeliest answer.
    given: usize,
    /// Nats a token of the true answer, where that is known.
    nll: f64,
}

/// A text with a scan, or without.
type Job = (usize, Option<usize>);

/// Windows whose scans are exchanged with each other.
pub(super) type Blocks = Vec<Vec<usize>>;

impl<'a> Asking<'a> {
    pub(super) fn new(
        config: &'a AskConfig,
        plan: &'a AskPlan,
        media: &'a Media<'a>,
        model: &'a Model,
        shown: &'a Shown<'a>,
        reading: &'a Reading,
    ) -> Result<Self> {
        let there: Vec<usize> =
            (0..plan.windows.len()).filter(|&at| shown.has(plan.windows[at].scan_idx)).collect();
        let mut people: BTreeMap<&str, usize> = BTreeMap::new();
        let (mut units, mut person, mut trained_on) = (Vec::new(), Vec::new(), Vec::new());
        for &at in &there {
            let window = &plan.windows[at];
            let scan = &media.scans()[window.scan_idx];
            let n = people.len();
            person.push(*people.entry(&scan.subject).or_insert(n));
            let digest = media.digest(window.scan_idx)?;
            trained_on.push(plan.trained_on.contains(&digest));
            let place = window.window.map_or(0.0, |it| scan.events_s[it - 1]);
            units.push(Unit {
                subject: scan.subject.clone(),
                scan: scan.name.clone(),
                window: format!("{place} s"),
                site: window.site.clone(),
                sex: window.sex.clone(),
                age_bin: window.age.as_deref().and_then(age_bin),
                scan_digest: digest,
                window_digest: shown.digest(window),
            });
        }
        let gates = gates(model)?;
        Ok(Self {
            config,
            plan,
            media,
            model,
            shown,
            reading,
            there,
            units,
            person,
            trained_on,
            gates,
        })
    }

    fn window(&self, at: usize) -> &AskedWindow {
        &self.plan.windows[self.there[at]]
    }

    fn posed(&self, question: &Question, at: usize) -> Result<Posed> {
        let window = self.window(at);
        let technique = self.shown.technique(window)?;
        Ok(Posed::of(
            self.shown.reader.chat(),
            &question.words,
            &technique,
            &window.stated(question),
        ))
    }

    fn truth(&self, question: &Question) -> Vec<Option<usize>> {
        (0..self.there.len()).map(|at| self.window(at).truth(question)).collect()
    }

    /// Windows whose scans are exchanged, question by question, and which of them are others.
    pub(super) fn exchanged(&self, control: &Control<'_>) -> Result<(Vec<Blocks>, Others)> {
        let mut all = Vec::with_capacity(self.config.questions.len());
        for question in &self.config.questions {
            let label =
                |it: &Option<usize>| it.map_or(String::new(), |it| question.answers[it].clone());
            let labels: Vec<String> = self.truth(question).iter().map(label).collect();
            let (units, max_pairs, seed) =
                (self.units.clone(), self.config.max_pairs, self.media.run.seed);
            all.push(aside(control, move || blocks(&units, &labels, max_pairs, seed))?);
        }
        let others = Others::among(&self.units, all.iter().flatten());
        Ok((all, others))
    }

    /// Asks one question about every window.
    pub(super) fn ask(
        &self,
        question: &Question,
        (blocks, others): (Blocks, Others),
        control: &mut Control<'_>,
    ) -> Result<Answers> {
        let n = self.there.len();
        let truth = self.truth(question);
        let posed = (0..n).map(|at| self.posed(question, at)).collect::<Result<Vec<_>>>()?;
        let jobs = jobs(n, &blocks, &posed);
        let found = self.likelihoods(question, &posed, &jobs, control)?;
        let found: HashMap<Job, Vec<LogLikelihood>> = jobs.into_iter().zip(found).collect();
        let without: HashMap<&str, usize> =
            posed.iter().enumerate().rev().map(|(at, it)| (it.without_scan.as_str(), at)).collect();
        let probabilities =
            |it: &[LogLikelihood]| classified(it.to_vec(), self.config.rank_by).probabilities;
        let mut cells = vec![Vec::new(); n];
        let mut other_scans = vec![None; n];
        for block in &blocks {
            for &window in block {
                for &scan in block {
                    let of = &found[&(window, Some(scan))];
                    let classified = classified(of.clone(), self.config.rank_by);
                    let nll = truth[window].map_or(0.0, |truth| of[truth].nll());
                    cells[window].push(Cell { given: classified.best, nll });
                }
                let is_other = |at: &&usize| others.differ(&self.units[window], &self.units[**at]);
                let beside = block.iter().filter(is_other);
                let beside: Vec<_> =
                    beside.map(|&scan| probabilities(&found[&(window, Some(scan))])).collect();
                other_scans[window] = mean_of(&beside);
            }
        }
        let own: Vec<Vec<LogLikelihood>> =
            (0..n).map(|at| found[&(at, Some(at))].clone()).collect();
        let answered = (0..n).map(|at| Answered {
            person: self.person[at],
            own: probabilities(&own[at]),
            no_scan: probabilities(&found[&(without[posed[at].without_scan.as_str()], None)]),
            other_scans: other_scans[at].clone(),
            truth: truth[at],
        });
        let answered = answered.collect();
        let (there, trained_on) = (self.there.clone(), self.trained_on.clone());
        Ok(Answers { there, answered, own, trained_on, blocks, cells })
    }

    /// The likelihood of every allowed answer in each of `jobs`, kept part by part.
    fn likelihoods(
        &self,
        question: &Question,
        posed: &[Posed],
        jobs: &[Job],
        control: &mut Control<'_>,
    ) -> Result<Vec<Vec<LogLikelihood>>> {
        let batch_size = self.config.batch_size.max(1);
        let size = (4 * batch_size).div_ceil(question.answers.len());
        let windows = self.there.iter().map(|&at| &self.plan.windows[at]);
        let windows: Vec<_> = windows.map(|it| (it.scan_idx, it.window)).collect();
        let name = kept_name(question, &windows, posed, jobs);
        self.reading.each(&name, jobs, size, control, |_, part, stop| {
            let mut items = Vec::with_capacity(part.len() * question.answers.len());
            // a scan is one and the same in memory, so that it is read once
            let mut last = None;
            for &(text, scan) in part {
                let posed = &posed[text];
                let media = match (scan, &last) {
                    (None, _) => Vec::new(),
                    (Some(scan), Some((at, medium))) if *at == scan => {
                        vec![std::sync::Arc::clone(medium)]
                    }
                    (Some(scan), _) => {
                        let medium = self.shown.medium(self.window(scan))?;
                        last = Some((scan, std::sync::Arc::clone(&medium)));
                        vec![medium]
                    }
                };
                let prompt = if media.is_empty() { &posed.without_scan } else { &posed.with_scan };
                items.extend(question.answers.iter().map(|answer| Scored {
                    prompt: prompt.clone(),
                    continuation: format!("{}{answer}", posed.blank),
                    media: media.clone(),
                }));
            }
            let found = self.model.log_likelihood_until(&items, batch_size, stop)?;
            Ok(found.chunks(question.answers.len()).map(<[_]>::to_vec).collect())
        })
    }

    /// What the answers are worth, and whether they depend on the scan, by windows that were not trained on.
    pub(super) fn judge(
        &self,
        question: &Question,
        answers: &Answers,
        control: &Control<'_>,
    ) -> Result<QuestionFound> {
        let fresh: Vec<usize> = (0..self.there.len()).filter(|&at| !self.trained_on[at]).collect();
        let judged: Vec<Answered> = fresh.iter().map(|&at| answers.answered[at].clone()).collect();
        let draws = Draws { n: self.config.bootstrap, seed: self.media.run.seed };
        let n_answers = question.answers.len();
        let (dependence, scored) = aside(control, move || {
            (Dependence::of(&judged, draws), scores(&judged, n_answers, draws))
        })?;
        let evidence = self.evidence(question, answers, &fresh, control)?;
        let mut given = vec![0; n_answers];
        answers.answered.iter().for_each(|it| given[it.given()] += 1);
        Ok(QuestionFound::new(question, given, dependence?, scored?, evidence))
    }

    /// The house's verdict, where the truth is known; otherwise why there is none.
    fn evidence(
        &self,
        question: &Question,
        answers: &Answers,
        fresh: &[usize],
        control: &Control<'_>,
    ) -> Result<std::result::Result<Evidence, String>> {
        let Some(column) = &question.truth else {
            return Ok(Err("no column says the truth".to_owned()));
        };
        let truth = |at: usize| answers.answered[at].truth;
        let known: Vec<usize> = fresh.iter().copied().filter(|&at| truth(at).is_some()).collect();
        if known.is_empty() {
            return Ok(Err(format!(
                "column {column} says nothing of scans that were not trained on"
            )));
        }
        let place: HashMap<usize, usize> =
            known.iter().enumerate().map(|(place, &at)| (at, place)).collect();
        let name = |answer: usize| question.answers[answer].clone();
        let mut input = EvidenceInput {
            units: known.iter().map(|&at| self.units[at].clone()).collect(),
            truth: known.iter().filter_map(|&at| truth(at)).map(name).collect(),
            nll: vec![Vec::new(); known.len()],
            value: vec![Vec::new(); known.len()],
            gates: self.gates.clone(),
            ..EvidenceInput::default()
        };
        for block in &answers.blocks {
            let of_block = block.iter().filter_map(|at| place.get(at).copied());
            input.blocks.push(of_block.collect());
            for window in block {
                let Some(&row) = place.get(window) else { continue };
                let cells = block.iter().zip(&answers.cells[*window]);
                for (_, cell) in cells.filter(|(scan, _)| place.contains_key(scan)) {
                    input.nll[row].push(cell.nll);
                    input.value[row].push(Some(name(cell.given)));
                }
            }
        }
        input.blocks.retain(|it| !it.is_empty());
        for &at in &known {
            let it = &answers.answered[at];
            input.stated.push(Some(name(it.given())));
            input.no_scan.push(Some(name(it.given_without_scan())));
        }
        // nothing was trained: the answer that is true most often here, which no model knows beforehand
        let truths: Vec<usize> = known.iter().filter_map(|&at| truth(at)).collect();
        input.majority = name(majority_class(&truths, question.answers.len())?);
        let drawing = EvidenceConfig {
            n_permutations: self.config.permutations,
            ..EvidenceConfig::standard(self.media.run.seed)
        };
        let values: BTreeSet<&String> = input.truth.iter().collect();
        if values.len() < 2 {
            let value = &input.truth[0];
            return Ok(Err(format!("{value} is true of every scan that was not trained on")));
        }
        match aside(control, move || Evidence::measure(&input, &drawing))? {
            Err(error @ report::Error::NothingToChoose { .. }) => Ok(Err(error.to_string())),
            evidence => Ok(Ok(evidence?)),
        }
    }

    /// All questions together.
    pub(super) fn metrics(&self, others: Others, questions: Vec<QuestionFound>) -> AskMetrics {
        let n_people = self.person.iter().max().map_or(0, |last| last + 1);
        AskMetrics::new(
            &self.media.plan.spec().name,
            &self.plan.model_id,
            self.media.run.seed,
            [self.there.len(), n_people, self.trained_on.iter().filter(|it| **it).count()],
            others,
            questions,
        )
    }
}

/// Every text with every scan of its block, its own even where it is in none, and each text once without a scan; by
/// scan, so that each is read once.
fn jobs(n: usize, blocks: &[Vec<usize>], posed: &[Posed]) -> Vec<Job> {
    let mut jobs: Vec<Job> = Vec::new();
    for block in blocks {
        for &scan in block {
            jobs.extend(block.iter().map(|&window| (window, Some(scan))));
        }
    }
    let is_in_block: BTreeSet<usize> = blocks.iter().flatten().copied().collect();
    jobs.extend((0..n).filter(|at| !is_in_block.contains(at)).map(|at| (at, Some(at))));
    let mut known: BTreeSet<&str> = BTreeSet::new();
    for (at, posed) in posed.iter().enumerate() {
        if known.insert(&posed.without_scan) {
            jobs.push((at, None));
        }
    }
    jobs
}

/// Names what is kept of a question by everything that is asked: which windows can be shown may change between a
/// stopped run and the next, and with them what stands at a place among the jobs.
fn kept_name(
    question: &Question,
    windows: &[(usize, Option<usize>)],
    posed: &[Posed],
    jobs: &[Job],
) -> String {
    let texts: Vec<_> =
        posed.iter().map(|it| [&it.with_scan, &it.without_scan, &it.blank]).collect();
    let asked = json!([question.id, question.answers, windows, texts, jobs]);
    format!("question-{}", &files::sha256_bytes(asked.to_string().as_bytes())[..16])
}

/// The mean of some distributions; none of none.
fn mean_of(all: &[Vec<f64>]) -> Option<Vec<f64>> {
    let n = all.len() as f64;
    let width = all.first()?.len();
    Some((0..width).map(|at| all.iter().map(|it| it[at]).sum::<f64>() / n).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_is_asked_with_its_block_and_once_without_a_scan() {
        let posed = |text: &str| Posed {
            with_scan: format!("<image>{text}"),
            without_scan: text.to_owned(),
            blank: " ".to_owned(),
        };
        let texts = ["a", "b", "a", "c"].map(posed);
        let found = jobs(4, &[vec![0, 2]], &texts);
        let expected = [
            (0, Some(0)),
            (2, Some(0)),
            (0, Some(2)),
            (2, Some(2)),
            (1, Some(1)),
            (3, Some(3)),
            (0, None),
            (1, None),
            (3, None),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn kept_answers_are_named_by_everything_that_is_asked() {
        let question = |id: &str, answers: [&str; 2]| Question {
            id: id.to_owned(),
            words: "Sex:".to_owned().try_into().unwrap(),
            answers: answers.map(str::to_owned).to_vec(),
            truth: None,
        };
        let posed = |text: &str| Posed {
            with_scan: format!("<image>{text}"),
            without_scan: text.to_owned(),
            blank: " ".to_owned(),
        };
        let (own, windows) = ([(0, Some(0)), (0, None)], [(0, None)]);
        let asked = question("sex", ["M", "F"]);
        let base = kept_name(&asked, &windows, &[posed("Sex:")], &own);
        let others = [
            // the first scan cannot be shown, and the second stands at its place
            kept_name(&asked, &[(1, None)], &[posed("Sex:")], &own),
            kept_name(&asked, &[(0, Some(1))], &[posed("Sex:")], &own),
            kept_name(&asked, &windows, &[posed("Aged 3, sex:")], &own),
            kept_name(&asked, &windows, &[posed("Sex:")], &own[..1]),
            kept_name(&question("sex", ["F", "M"]), &windows, &[posed("Sex:")], &own),
            // one file where names are compared without case
            kept_name(&question("SEX", ["M", "F"]), &windows, &[posed("Sex:")], &own),
        ];
        let names = others.iter().chain([&base]).map(|it| it.to_lowercase());
        assert_eq!(names.collect::<BTreeSet<_>>().len(), 7, "{base} {others:?}");
        assert_eq!(base, kept_name(&asked, &windows, &[posed("Sex:")], &own));
    }

    #[test]
    fn distributions_have_a_mean() {
        assert_eq!(mean_of(&[vec![0.0, 1.0], vec![0.5, 0.5]]), Some(vec![0.25, 0.75]));
        assert_eq!(mean_of(&[]), None);
    }
}
