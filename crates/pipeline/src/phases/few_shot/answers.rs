//! What the model answers: batch by batch, each answer kept by everything that decides it.
use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
    sync::Arc,
};

use engine::{Event, Failure, Kept, Key, Reason};
use flamingo::{Compat, GenerateConfig, Generated, LogLikelihood, Medium, Model, Request, Scored};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    config::{ANSWER_TOKENS, CAPTION_TOKENS, ChoosingConfig, FewShotConfig, STAGE, VERSION},
    features::Vectors,
    questions::{Question, last, n_orders, question, reordered},
};
use crate::{
    Error, Loaded, Result,
    event::Control,
    operations::add_ops,
    plan::{BenchmarkPlan, Task},
    reasons,
};

/// What a model made of a question.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Answer {
    /// It wrote this.
    Written(Generated),
    /// It found each class this likely; over several orders of the demonstrations, their mean.
    Chosen(Vec<LogLikelihood>),
}

/// How answers are found.
enum How {
    Writing(GenerateConfig),
    Choosing(ChoosingConfig, Vec<String>),
}

/// A model that is asked.
pub(super) struct Asking<'a> {
    plan: &'a BenchmarkPlan,
    compat: Compat,
    seed: u64,
    model: Model,
    how: How,
    kept: Kept,
    /// Why items are left out, by their place in the data set.
    pub(super) failures: BTreeMap<usize, Failure>,
}

/// An item with what is asked about it, once for each order of its demonstrations.
struct Batched {
    item: usize,
    questions: Vec<Question>,
}

impl Batched {
    fn requests(&self, media: &HashMap<usize, Arc<Medium>>) -> Vec<Request> {
        let request = |question: &Question| Request {
            prompt: question.prompt.clone(),
            media: question.pictures.iter().map(|it| Arc::clone(&media[it])).collect(),
            stream: Some(self.item as u64),
        };
        self.questions.iter().map(request).collect()
    }
}

impl<'a> Asking<'a> {
    /// Answers are kept below `cache`, whatever becomes of the run.
    pub(super) fn new(
        plan: &'a BenchmarkPlan,
        config: &FewShotConfig,
        seed: u64,
        loaded: &Loaded,
        cache: &Path,
    ) -> Result<Self> {
        let (opening, encoders) = (&loaded.opening()?, loaded.encoders());
        let how = match &plan.task {
            Task::Classes(classes) => How::Choosing(config.choosing(), classes.clone()),
            task => {
                let n_tokens = if *task == Task::Captions { CAPTION_TOKENS } else { ANSWER_TOKENS };
                let mut writing = config.writing(n_tokens);
                if writing.samples() {
                    writing.seed = writing.seed.or(Some(seed));
                }
                How::Writing(writing)
            }
        };
        let model = match config.compat {
            Compat::None => Model::open_with(&plan.package, opening, encoders)?,
            compat @ Compat::OpenFlamingo => {
                Model::open_as(&plan.package, compat, encoders, opening)?
            }
        };
        let kept = Kept::new(&cache.join(STAGE).join("answers"), "answer");
        let failures = BTreeMap::new();
        Ok(Self { plan, compat: config.compat, seed, model, how, kept, failures })
    }

    fn batch_size(&self) -> usize {
        match &self.how {
            How::Writing(config) => config.batch_size.max(1),
            How::Choosing(config, _) => config.batch_size.max(1),
        }
    }

    fn name(&self, picture: usize) -> &'a str {
        &self.plan.pictures[picture].name
    }

    /// A vector of each of these pictures by the model's own encoder; of one that cannot be read, why.
    pub(super) fn vectors(
        &self,
        pictures: &[usize],
        control: &mut Control<'_>,
    ) -> Result<(Vectors, BTreeMap<usize, Failure>)> {
        const TOGETHER: usize = 16;
        let (mut vectors, mut failures) = (Vectors::new(), BTreeMap::new());
        for (done, some) in pictures.chunks(TOGETHER).enumerate() {
            control.checkpoint()?;
            let mut unknown = Vec::new();
            for &picture in some {
                let key = Key::of(
                    &json!({ "version": VERSION, "embedding": self.model_and(&[picture]) }),
                );
                match self.kept.get::<Vec<f32>>(key.short()) {
                    Some(vector) => drop(vectors.insert(picture, vector)),
                    None => match self.read(picture) {
                        Ok(medium) => unknown.push((picture, key, medium)),
                        Err(failure) => drop(failures.insert(picture, failure)),
                    },
                }
            }
            let media: Vec<Arc<Medium>> = unknown.iter().map(|(.., it)| Arc::clone(it)).collect();
            let found = self.model.embeddings(&media)?;
            for ((picture, key, _), vector) in unknown.into_iter().zip(found) {
                self.kept.put(key.short(), &vector)?;
                vectors.insert(picture, vector);
            }
            let done = (done * TOGETHER + some.len()).min(pictures.len());
            control.tell(Event::Advanced { stage: STAGE, done, total: pictures.len() });
        }
        Ok((vectors, failures))
    }

    /// The answers of `items`, each with its demonstrations, after so many shots; an item is left out where one
    /// of its pictures cannot be read. `done` of `total` were told before.
    pub(super) fn answers(
        &mut self,
        items: &[(usize, Vec<usize>)],
        shots: usize,
        (done, total): (usize, usize),
        control: &mut Control<'_>,
    ) -> Result<BTreeMap<usize, Answer>> {
        let mut answers = BTreeMap::new();
        let mut told = done;
        for some in items.chunks(self.batch_size()) {
            control.checkpoint()?;
            let there = some.iter().filter(|(item, _)| !self.failures.contains_key(item));
            let batch = there.map(|(item, shown)| self.batched(*item, shown, shots)).collect();
            answers.extend(self.batch(batch, control)?);
            told += some.len();
            control.tell(Event::Advanced { stage: STAGE, done: told, total });
        }
        Ok(answers)
    }

    fn batched(&self, item: usize, shown: &[usize], shots: usize) -> Batched {
        let shown = last(shown, shots);
        let orders = match &self.how {
            How::Choosing(config, _) => n_orders(shown.len(), config.orders),
            How::Writing(_) => 1,
        };
        let ask = |shown: &[usize]| question(self.plan, self.compat, item, shown, shots);
        let others = (1..orders).map(|order| ask(&reordered(shown, self.seed, item, order)));
        Batched { item, questions: [ask(shown)].into_iter().chain(others).collect() }
    }

    fn batch(
        &mut self,
        batch: Vec<Batched>,
        control: &mut Control<'_>,
    ) -> Result<Vec<(usize, Answer)>> {
        let keys = self.keys(&batch);
        let kept: Vec<Option<Answer>> = keys.iter().map(|key| self.kept.get(key.short())).collect();
        if kept.iter().all(Option::is_some) {
            return Ok(batch.iter().map(|it| it.item).zip(kept.into_iter().flatten()).collect());
        }
        // in OpenFlamingo what stands beside a prompt decides, so a batch is asked as a whole
        let is_whole = self.compat == Compat::OpenFlamingo;
        let mut found = Vec::new();
        let (mut asked, mut all_there) = (Vec::new(), true);
        let mut media: HashMap<usize, Arc<Medium>> = HashMap::new();
        for ((batched, key), kept) in batch.into_iter().zip(keys).zip(kept) {
            if let (Some(answer), false) = (kept, is_whole) {
                found.push((batched.item, answer));
                continue;
            }
            match self.read_all(&batched, &mut media) {
                Ok(()) => asked.push((batched, key)),
                Err(failure) => {
                    all_there &= !failure.transient;
                    let failure = Failure { unit: batched.item, ..failure };
                    let id = &self.plan.test[batched.item].id;
                    let place = (batched.item, self.plan.test.len());
                    control.unit_failed(STAGE, place, id, &failure.reason);
                    self.failures.insert(batched.item, failure);
                }
            }
        }
        let requests: Vec<Vec<Request>> =
            asked.iter().map(|(batched, _)| batched.requests(&media)).collect();
        let answers = self.ask(&requests, control)?;
        for ((batched, key), answer) in asked.into_iter().zip(answers) {
            if all_there || !is_whole {
                self.kept.put(key.short(), &answer)?;
            }
            found.push((batched.item, answer));
        }
        Ok(found)
    }

    /// Everything that decides each answer.
    fn keys(&self, batch: &[Batched]) -> Vec<Key> {
        let how = match &self.how {
            How::Writing(config) => {
                // how many are written together decides nothing, unless OpenFlamingo is repeated
                json!({ "writing": GenerateConfig { batch_size: 1, ..config.clone() } })
            }
            How::Choosing(_, classes) => json!({ "classes": classes }),
        };
        let samples = matches!(&self.how, How::Writing(config) if config.samples());
        let one = |batched: &Batched| {
            let asked: Vec<Value> = batched
                .questions
                .iter()
                .map(|it| json!([it.prompt, self.model_and(&it.pictures)]))
                .collect();
            json!({
                "version": VERSION,
                "asked": asked,
                "how": how,
                "compat": self.compat,
                "stream": samples.then_some(batched.item),
            })
        };
        let alone: Vec<Value> = batch.iter().map(one).collect();
        let beside = (self.compat == Compat::OpenFlamingo).then_some(&alone);
        alone.iter().map(|one| Key::of(&json!({ "one": one, "beside": beside }))).collect()
    }

    fn model_and(&self, pictures: &[usize]) -> Value {
        let sha256 = |&picture: &usize| &self.plan.pictures[picture].sha256;
        let mut decides =
            json!([self.plan.model_id, pictures.iter().map(sha256).collect::<Vec<_>>()]);
        add_ops(self.model.device(), &mut decides);
        decides
    }

    fn read(&self, picture: usize) -> Result<Arc<Medium>, Failure> {
        let path = &self.plan.pictures[picture].path;
        self.model.picture(path).map(Arc::new).map_err(|error| {
            let error = Error::from(error);
            let transient = error.is_of_the_system();
            let reason = reasons::of_file(&error, path, self.name(picture));
            Failure { unit: picture, reason, transient }
        })
    }

    fn read_all(
        &self,
        batched: &Batched,
        media: &mut HashMap<usize, Arc<Medium>>,
    ) -> Result<(), Failure> {
        for &picture in batched.questions.iter().flat_map(|it| &it.pictures) {
            if let std::collections::hash_map::Entry::Vacant(place) = media.entry(picture) {
                place.insert(self.read(picture)?);
            }
        }
        Ok(())
    }

    /// One answer for each list of requests, which are of one item in several orders.
    fn ask(&self, requests: &[Vec<Request>], control: &mut Control<'_>) -> Result<Vec<Answer>> {
        let stop = control.stop();
        match &self.how {
            How::Writing(config) => {
                let requests: Vec<Request> = requests.concat();
                let written = self.model.generate_until(&requests, config, &stop)?;
                Ok(written.into_iter().map(Answer::Written).collect())
            }
            How::Choosing(config, classes) => {
                let most = requests.iter().map(Vec::len).max().unwrap_or(0);
                let mut sums = vec![vec![LogLikelihood::of(&[]); classes.len()]; requests.len()];
                for order in 0..most {
                    let there = (0..requests.len()).filter(|&it| order < requests[it].len());
                    let places: Vec<(usize, usize)> = there
                        .flat_map(|it| (0..classes.len()).map(move |class| (it, class)))
                        .collect();
                    let scored = |&(it, class): &(usize, usize)| Scored {
                        prompt: requests[it][order].prompt.clone(),
                        continuation: classes[class].clone(),
                        media: requests[it][order].media.clone(),
                    };
                    let items: Vec<Scored> = places.iter().map(scored).collect();
                    let found = match self.compat {
                        Compat::None => {
                            self.model.log_likelihood_until(&items, config.batch_size, &stop)?
                        }
                        Compat::OpenFlamingo => {
                            self.model.log_likelihood_beside(&items, config.batch_size, &stop)?
                        }
                    };
                    for ((it, class), found) in places.into_iter().zip(found) {
                        let sum = &mut sums[it][class];
                        sum.sum += found.sum / requests[it].len() as f64;
                        sum.n_tokens = found.n_tokens;
                    }
                }
                Ok(sums.into_iter().map(Answer::Chosen).collect())
            }
        }
    }
}

/// Why nothing could be answered, where it is so.
pub(super) fn first_reason(failures: &BTreeMap<usize, Failure>) -> Option<&Reason> {
    failures.values().next().map(|it| &it.reason)
}
