//! What answers are worth, and the tables that say so.
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

use flamingo::{Compat, RankBy, classified};
use report::{
    few_shot::{
        AnswerScores, CaptionSetScores, ClassScores, ClassifiedItem, Draws, answer_scores, caption,
        caption_set_scores, class_scores,
    },
    metrics::{Interval, vqa},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    answers::Answer,
    config::FewShotConfig,
    questions::{last, words},
};
use crate::{
    Result,
    plan::{BenchmarkPlan, Item, Task, Truth},
};

/// `metrics.json` of a few-shot evaluation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct FewShotMetrics {
    /// `captions`, `questions` or `classes`.
    pub(crate) task: String,
    /// The score that is printed, where there is one.
    pub(crate) metric: Option<String>,
    pub(crate) compat: Compat,
    pub(crate) model_id: String,
    pub(crate) seed: u64,
    pub(crate) demonstrations: Value,
    pub(crate) intervals: String,
    pub(crate) shots: Vec<ShotMetrics>,
}

/// One number of shots.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct ShotMetrics {
    pub(crate) shots: usize,
    pub(crate) n_items: usize,
    pub(crate) n_pictures: usize,
    pub(crate) scores: Option<Scores>,
}

/// What the answers are worth.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Scores {
    Captions(CaptionSetScores),
    Answers(AnswerScores),
    Classes(ClassScores),
}

impl Scores {
    /// The score that is printed, with its name.
    pub(crate) fn headline(&self) -> (&'static str, Interval) {
        match self {
            Self::Captions(it) => ("cider_x100", it.cider_x100),
            Self::Answers(it) => ("vqa_accuracy_percent", it.vqa_accuracy_percent),
            Self::Classes(ClassScores { roc_auc: Some(area), .. }) => ("roc_auc", *area),
            Self::Classes(it) => ("accuracy", it.accuracy),
        }
    }
}

impl FewShotMetrics {
    /// A line for each number of shots.
    pub(crate) fn terminal(&self) -> String {
        let metric = self.metric.as_deref().unwrap_or("not scored");
        let mut table = format!("{:>5}  {:>6}  {metric}\n", "shots", "items");
        for ShotMetrics { shots, n_items, scores, .. } in &self.shots {
            let score = scores.as_ref().map_or_else(String::new, |it| it.headline().1.to_string());
            let _ = writeln!(table, "{shots:>5}  {n_items:>6}  {score}");
        }
        table
    }
}

/// A row of `predictions.csv`.
struct Row<'a> {
    shots: usize,
    item: &'a Item,
    picture: &'a str,
    written: &'a str,
    answer: String,
    score: Option<f64>,
    shown: Vec<&'a str>,
}

/// The answers after one number of shots.
pub(super) struct AnswersOf<'a> {
    pub(super) shots: usize,
    /// By the place of the item.
    pub(super) answers: &'a BTreeMap<usize, Answer>,
    /// The examples that stood before each after the largest number of shots.
    pub(super) shown: &'a BTreeMap<usize, Vec<usize>>,
}

/// What a whole evaluation says, by the names of files.
pub(super) fn files(
    plan: &BenchmarkPlan,
    config: &FewShotConfig,
    seed: u64,
    all: &[AnswersOf<'_>],
) -> Result<(FewShotMetrics, Vec<(String, String)>)> {
    let draws = Draws { n: config.bootstrap, seed };
    let rank_by = config.choosing().rank_by;
    let (mut shots, mut rows, mut files) = (Vec::new(), Vec::new(), Vec::new());
    for of in all {
        let (scores, found) = scored(plan, config.compat, rank_by, draws, of)?;
        let pictures: BTreeSet<usize> =
            of.answers.keys().map(|&it| plan.test[it].picture).collect();
        let (n_items, n_pictures) = (of.answers.len(), pictures.len());
        shots.push(ShotMetrics { shots: of.shots, n_items, n_pictures, scores });
        if plan.task == Task::Questions && plan.test.iter().any(|it| it.truth == Truth::Unknown) {
            let name = format!("answers_{}.json", of.shots);
            files.push((name, server_answers(plan, config.compat, of)));
        }
        rows.extend(found);
    }
    let task = match plan.task {
        Task::Captions => "captions",
        Task::Questions => "questions",
        Task::Classes(_) => "classes",
    };
    let metric = shots.iter().find_map(|it| Some(it.scores.as_ref()?.headline().0.to_owned()));
    let metrics = FewShotMetrics {
        task: task.to_owned(),
        metric,
        compat: config.compat,
        model_id: plan.model_id.clone(),
        seed,
        demonstrations: json!(config.demonstrations),
        intervals: format!(
            "95 %, percentiles of {} draws of pictures with replacement, all questions of one together",
            config.bootstrap
        ),
        shots,
    };
    files.push(("predictions.csv".to_owned(), predictions(&rows)));
    Ok((metrics, files))
}

fn scored<'a>(
    plan: &'a BenchmarkPlan,
    compat: Compat,
    rank_by: RankBy,
    draws: Draws,
    of: &AnswersOf<'a>,
) -> Result<(Option<Scores>, Vec<Row<'a>>)> {
    let mut rows: Vec<Row<'_>> =
        of.answers.iter().map(|(&it, answer)| row(plan, of, it, answer)).collect();
    let items: Vec<&Item> = rows.iter().map(|row| row.item).collect();
    let unit = units(&items);
    let set = |rows: &mut Vec<Row<'_>>, worth: &[f64]| {
        rows.iter_mut().zip(worth).for_each(|(row, worth)| row.score = Some(*worth));
    };
    let scores = match &plan.task {
        Task::Captions => {
            let written: Vec<String> = rows.iter().map(|row| row.answer.clone()).collect();
            let people: Vec<Vec<String>> = items.iter().map(|it| captions(it)).collect();
            let (scores, each) = caption_set_scores(&written, &people, &unit, draws)?;
            set(&mut rows, &each);
            Some(Scores::Captions(scores))
        }
        Task::Questions if items.iter().any(|it| it.truth == Truth::Unknown) => None,
        Task::Questions => {
            let worth = |row: &Row<'_>| worth(&row.answer, &row.item.truth, compat);
            let worth = rows.iter().map(worth).collect::<Result<Vec<f64>>>()?;
            set(&mut rows, &worth);
            Some(Scores::Answers(answer_scores(&worth, &unit, draws)?))
        }
        Task::Classes(classes) => {
            let mut chosen = Vec::new();
            for (row, answer) in rows.iter_mut().zip(of.answers.values()) {
                let Answer::Chosen(likelihoods) = answer else {
                    unreachable!("classes are chosen")
                };
                let Truth::Class(truth) = row.item.truth else { unreachable!("classes are known") };
                let found = classified(likelihoods.clone(), rank_by);
                row.answer.clone_from(&classes[found.best]);
                row.score = Some(found.probabilities[found.best]);
                chosen.push(ClassifiedItem {
                    // two folders may have one name
                    right: classes[found.best] == classes[truth],
                    second: (classes.len() == 2).then(|| (found.probabilities[1], truth == 1)),
                });
            }
            Some(Scores::Classes(class_scores(&chosen, &unit, draws)?))
        }
    };
    Ok((scores, rows))
}

fn row<'a>(plan: &'a BenchmarkPlan, of: &AnswersOf<'a>, it: usize, answer: &'a Answer) -> Row<'a> {
    let item = &plan.test[it];
    let written = match answer {
        Answer::Written(generated) => generated.text.as_str(),
        Answer::Chosen(_) => "",
    };
    let answer = match plan.task {
        Task::Captions => caption(written),
        Task::Questions => vqa::answer(written).to_owned(),
        Task::Classes(_) => String::new(),
    };
    let shown = last(&of.shown[&it], of.shots)
        .iter()
        .map(|&example| plan.train[example].id.as_str())
        .collect();
    let picture = plan.pictures[item.picture].name.as_str();
    Row { shots: of.shots, item, picture, written, answer, score: None, shown }
}

/// The picture of each item, from 0 in the order in which they come.
fn units(items: &[&Item]) -> Vec<usize> {
    let mut places = BTreeMap::new();
    let unit = |item: &&Item| {
        let next = places.len();
        *places.entry(item.picture).or_insert(next)
    };
    items.iter().map(unit).collect()
}

fn captions(item: &Item) -> Vec<String> {
    match &item.truth {
        Truth::Captions(captions) => captions.clone(),
        _ => unreachable!("captions are of captions"),
    }
}

/// VQA accuracy of one answer.
fn worth(answer: &str, truth: &Truth, compat: Compat) -> Result<f64> {
    let Truth::Answers(people) = truth else { unreachable!("somebody answered") };
    Ok(match compat {
        Compat::OpenFlamingo => vqa::accuracy_as_open_flamingo(answer, people)?,
        Compat::None => {
            let people: Vec<&str> = people.iter().map(|(answer, _)| answer.as_str()).collect();
            vqa::accuracy(answer, &people)?
        }
    })
}

/// The answers as servers of the challenges take them: all questions, those without an answer with an empty one.
fn server_answers(plan: &BenchmarkPlan, compat: Compat, of: &AnswersOf<'_>) -> String {
    let rules = match compat {
        Compat::None => vqa::Rules::Meant,
        Compat::OpenFlamingo => vqa::Rules::OpenFlamingo,
    };
    let answer = |(place, item): (usize, &Item)| {
        let answer = match of.answers.get(&place) {
            Some(Answer::Written(it)) => vqa::normalised(vqa::answer(&it.text), rules),
            _ => String::new(),
        };
        let picture = &plan.pictures[item.picture].name;
        if picture.starts_with("VizWiz_") {
            return json!({ "image": picture, "answer": answer });
        }
        let id = item.id.parse::<u64>().map_or_else(|_| json!(item.id), |number| json!(number));
        json!({ "question_id": id, "answer": answer })
    };
    let all: Vec<Value> = plan.test.iter().enumerate().map(answer).collect();
    files::to_json(&all) + "\n"
}

fn predictions(rows: &[Row<'_>]) -> String {
    let mut csv = csv::Writer::from_writer(Vec::new());
    let columns = [
        "shots",
        "item",
        "image",
        "question",
        "written",
        "answer",
        "truth",
        "score",
        "demonstrations",
    ];
    csv.write_record(columns).expect("memory takes everything");
    for row in rows {
        let truth = match &row.item.truth {
            Truth::Captions(captions) => captions.join(" | "),
            Truth::Answers(people) => {
                people.iter().map(|(answer, _)| answer.as_str()).collect::<Vec<_>>().join(" | ")
            }
            Truth::Class(_) => row.item.answer.clone().unwrap_or_default(),
            Truth::Unknown => String::new(),
        };
        let score = row.score.map_or_else(String::new, |score| score.to_string());
        let record = [
            row.shots.to_string(),
            row.item.id.clone(),
            row.picture.to_owned(),
            words(&row.item.ask).to_owned(),
            row.written.to_owned(),
            row.answer.clone(),
            truth,
            score,
            row.shown.join(" "),
        ];
        csv.write_record(record).expect("memory takes everything");
    }
    let csv = csv.into_inner().expect("memory takes everything");
    String::from_utf8(csv).expect("texts are UTF-8")
}
