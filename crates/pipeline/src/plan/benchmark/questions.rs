//! The layout of VQA v2: questions in one file, what people answered in another.
use std::{
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
};

use report::few_shot::Ask;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::{Item, Layout, Pictures, Problems, Task, Truth, some, twice};
use crate::{
    Error, Result,
    spec::{Loaded, QuestionsLayout},
};

#[derive(Deserialize)]
struct Questions {
    questions: Vec<Question>,
}

#[derive(Deserialize)]
struct Question {
    question_id: Value,
    image_id: Value,
    question: String,
}

#[derive(Deserialize)]
struct Annotations {
    annotations: Vec<Annotation>,
}

#[derive(Deserialize)]
struct Annotation {
    question_id: Value,
    answers: Vec<Given>,
}

/// An answer, with whatever else the file says of it.
#[derive(Deserialize)]
struct Given {
    answer: String,
    #[serde(flatten)]
    rest: BTreeMap<String, Value>,
}

/// Where the questions of a part, their answers and their pictures lie.
struct Part {
    questions: PathBuf,
    annotations: Option<PathBuf>,
    images: PathBuf,
}

pub(super) fn read(
    loaded: &Loaded,
    spec: &QuestionsLayout,
    by_place: bool,
    pictures: &mut Pictures,
) -> Result<(Vec<PathBuf>, Layout)> {
    let QuestionsLayout { train, test } = spec;
    let train = Part {
        questions: loaded.resolve(&train.questions),
        annotations: Some(loaded.resolve(&train.annotations)),
        images: loaded.resolve(&train.images),
    };
    let test = Part {
        questions: loaded.resolve(&test.questions),
        annotations: test.annotations.as_ref().map(|path| loaded.resolve(path)),
        images: loaded.resolve(&test.images),
    };
    let layout = Layout {
        task: Task::Questions,
        train: train.items(by_place, pictures)?,
        // what is right is looked up by id in any case
        test: test.items(false, pictures)?,
    };
    let files = [train, test].into_iter().flat_map(|it| [Some(it.questions), it.annotations]);
    Ok((files.flatten().collect(), layout))
}

impl Part {
    /// `by_place` takes the answers of a solved example from the annotation in its place, whatever the id.
    fn items(&self, by_place: bool, pictures: &mut Pictures) -> Result<Vec<Item>> {
        let questions = read_json::<Questions>(&self.questions)?.questions;
        let mut problems = Problems::of(&self.questions);
        let ids: Vec<String> = questions.iter().map(|it| word(&it.question_id)).collect();
        for id in twice(ids.iter().map(String::as_str)) {
            problems.tell(format!("question {id} is listed twice"));
        }
        Error::collect(problems.all)?;
        let annotations = self.annotations.as_ref().map(|path| read_json::<Annotations>(path));
        let annotations = annotations.transpose()?.map(|it| it.annotations);
        if let (Some(annotations), Some(path)) = (&annotations, &self.annotations) {
            self.fit(&questions, annotations, path)?;
        }
        let by_id: Option<HashMap<String, &Annotation>> = annotations
            .as_ref()
            .map(|all| all.iter().map(|it| (word(&it.question_id), it)).collect());
        let mut problems = Problems::of(&self.questions);
        let mut items = Vec::with_capacity(questions.len());
        for (place, question) in questions.iter().enumerate() {
            let id = word(&question.question_id);
            problems.check_text(&format!("question {id}"), &question.question);
            let file = match self.file_name(&question.image_id) {
                Ok(file) => file,
                Err(problem) => {
                    problems.tell(format!("question {id}: {problem}"));
                    continue;
                }
            };
            let own = by_id.as_ref().map(|all| all[&id]);
            let shown = match (&annotations, by_place) {
                (Some(all), true) => Some(&all[place]),
                _ => own,
            };
            items.push(Item {
                picture: pictures.place(files::join(&self.images, Path::new(&file))),
                id,
                ask: Ask::Question(question.question.clone()),
                answer: shown.map(|it| it.answers[0].answer.clone()),
                truth: own.map_or(Truth::Unknown, Annotation::truth),
            });
        }
        Error::collect(problems.all)?;
        some(&self.questions, "questions", &items)?;
        Ok(items)
    }

    /// Each question has one annotation with answers, and each annotation a question.
    fn fit(&self, questions: &[Question], annotations: &[Annotation], path: &Path) -> Result<()> {
        let mut problems = Problems::of(path);
        let known: HashMap<String, usize> =
            questions.iter().map(|it| (word(&it.question_id), 0)).collect();
        let mut n_of = known;
        for annotation in annotations {
            let id = word(&annotation.question_id);
            match n_of.get_mut(&id) {
                Some(n) => *n += 1,
                None => problems.tell(format!(
                    "annotation of question {id}, which {} does not hold",
                    shown(&self.questions)
                )),
            }
            if annotation.answers.is_empty() {
                problems.tell(format!("question {id} has no answers, expected at least one"));
            }
            for given in &annotation.answers {
                problems.check_text(&format!("an answer to question {id}"), &given.answer);
            }
        }
        for question in questions {
            let id = word(&question.question_id);
            match n_of[&id] {
                0 => problems
                    .tell(format!("question {id} of {} has no annotation", shown(&self.questions))),
                1 => {}
                n => problems.tell(format!("question {id} has {n} annotations, expected one")),
            }
        }
        Error::collect(problems.all)
    }

    fn file_name(&self, image: &Value) -> Result<String, String> {
        if let Some(number) = image.as_u64() {
            let folder = self.images.file_name().unwrap_or_default().to_string_lossy();
            if !["train2014", "val2014", "test2015"].contains(&folder.as_ref()) {
                return Err(format!(
                    "image_id {number} is a number, as COCO's, but its folder is called {folder}, expected \
                     train2014, val2014 or test2015"
                ));
            }
            return Ok(format!("COCO_{folder}_{number:012}.jpg"));
        }
        match image.as_str() {
            Some(name) if name.contains('.') => Ok(name.to_owned()),
            Some(name) if !name.is_empty() => Ok(format!("{name}.jpg")),
            _ => Err(format!("image_id is {image}, expected a number or a name")),
        }
    }
}

impl Annotation {
    fn truth(&self) -> Truth {
        let answers = self.answers.iter();
        let rest = |given: &Given| json!(given.rest).to_string();
        Truth::Answers(answers.map(|it| (it.answer.clone(), rest(it))).collect())
    }
}

fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T> {
    Ok(files::read_json(path)?)
}

/// An id as a word: numbers and texts alike.
fn word(id: &Value) -> String {
    id.as_str().map_or_else(|| id.to_string(), str::to_owned)
}

fn shown(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two questions, with their annotations the other way round, about pictures in a folder of this name.
    fn part(dir: &Path, images: &str, ids: [&str; 2]) -> Part {
        let question = |id: usize| {
            format!(r#"{{"question_id": {id}, "image_id": {}, "question": "?"}}"#, ids[id - 1])
        };
        let annotation = |id: usize| {
            format!(
                r#"{{"question_id": {id}, "answers": [{{"answer": "of {id}", "b": 1, "a": 2}}]}}"#
            )
        };
        let questions = format!(r#"{{"questions": [{}, {}]}}"#, question(1), question(2));
        let annotations = format!(r#"{{"annotations": [{}, {}]}}"#, annotation(2), annotation(1));
        let [q, a] = ["questions.json", "annotations.json"].map(|name| dir.join(name));
        std::fs::write(&q, questions).unwrap();
        std::fs::write(&a, annotations).unwrap();
        Part { questions: q, annotations: Some(a), images: dir.join(images) }
    }

    #[test]
    fn answers_are_found_by_id_and_in_open_flamingo_by_place() {
        let dir = tempfile::tempdir().unwrap();
        let part = part(dir.path(), "val2014", ["42", "43"]);
        let answers = |by_place: bool| {
            let items = part.items(by_place, &mut Pictures::default()).unwrap();
            items.into_iter().map(|it| (it.answer.unwrap(), it.truth)).collect::<Vec<_>>()
        };
        let truth =
            |id: usize| Truth::Answers(vec![(format!("of {id}"), r#"{"a":2,"b":1}"#.to_owned())]);
        assert_eq!(answers(false), [("of 1".to_owned(), truth(1)), ("of 2".to_owned(), truth(2))]);
        assert_eq!(answers(true), [("of 2".to_owned(), truth(1)), ("of 1".to_owned(), truth(2))]);
    }

    #[test]
    fn pictures_are_called_as_in_each_data_set() {
        let dir = tempfile::tempdir().unwrap();
        let names = |images: &str, ids: [&str; 2]| {
            let mut pictures = Pictures::default();
            part(dir.path(), images, ids).items(false, &mut pictures)?;
            Ok::<_, Error>(pictures.all.into_iter().map(|it| it.name).collect::<Vec<_>>())
        };
        let coco = ["COCO_val2014_000000000042.jpg", "COCO_val2014_000000000043.jpg"];
        assert_eq!(names("val2014", ["42", "43"]).unwrap(), coco);
        let others = ["VizWiz_val_00000000.jpg", "003a8ae2ef43b901.jpg"];
        assert_eq!(
            names("images", [r#""VizWiz_val_00000000.jpg""#, r#""003a8ae2ef43b901""#]).unwrap(),
            others
        );
        let said = names("pictures", ["42", "43"]).unwrap_err().to_string();
        assert!(
            said.contains(
                "question 1: image_id 42 is a number, as COCO's, but its folder is called pictures"
            ),
            "{said}"
        );
    }
}
