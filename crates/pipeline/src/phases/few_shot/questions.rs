//! Who is asked what: the items of a run, the examples before each, and the prompt with its pictures.
use flamingo::Compat;
use report::few_shot::{Ask, TEXT_DEMONSTRATIONS, drawn, prompt};

use super::config::{Demonstrations, FewShotConfig};
use crate::plan::{BenchmarkPlan, Task};

/// Streams of random numbers beside those of the items, which are their places.
const ITEMS: u64 = u64::MAX - 1;
const POOL: u64 = u64::MAX - 2;
/// Further orders of an item's demonstrations begin here.
const ORDERS: u64 = 1 << 40;

/// What one run asks.
pub(crate) struct Asked {
    /// Places of the items, in the order of the data set.
    pub(crate) items: Vec<usize>,
    /// Places of the examples that demonstrations are taken from.
    pub(crate) pool: Vec<usize>,
}

/// A prompt with the pictures that it shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Question {
    pub(crate) prompt: String,
    pub(crate) pictures: Vec<usize>,
}

impl Asked {
    pub(crate) fn of(plan: &BenchmarkPlan, config: &FewShotConfig, seed: u64) -> Self {
        let some = |n: usize, k: usize, stream| {
            let mut places = drawn(n, k, seed, stream);
            places.sort_unstable();
            places
        };
        let (n_test, n_train) = (plan.test.len(), plan.train.len());
        let pool = match &config.demonstrations {
            Demonstrations::Random(random) => some(n_train, random.among, POOL),
            Demonstrations::Rices(_) => (0..n_train).collect(),
        };
        Self { items: some(n_test, config.n_items.unwrap_or(n_test), ITEMS), pool }
    }

    /// Every picture that may be shown, once.
    pub(crate) fn pictures(&self, plan: &BenchmarkPlan) -> Vec<usize> {
        let of_items = self.items.iter().map(|&it| plan.test[it].picture);
        let of_pool = self.pool.iter().map(|&it| plan.train[it].picture);
        let mut all: Vec<usize> = of_items.chain(of_pool).collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// The examples that may stand before an item: none has its picture, unless OpenFlamingo is repeated.
    pub(crate) fn candidates(
        &self,
        plan: &BenchmarkPlan,
        compat: Compat,
        item: usize,
    ) -> Vec<usize> {
        let sha256 = |picture: usize| &plan.pictures[picture].sha256;
        let own = sha256(plan.test[item].picture);
        let may = |&example: &usize| {
            compat == Compat::OpenFlamingo || sha256(plan.train[example].picture) != own
        };
        self.pool.iter().copied().filter(may).collect()
    }
}

/// The `k` of `candidates` that stand before an item where they are drawn; the first that was drawn stands last.
pub(crate) fn at_random(candidates: &[usize], k: usize, seed: u64, item: usize) -> Vec<usize> {
    let drawn = drawn(candidates.len(), k, seed, item as u64).into_iter().rev();
    drawn.map(|at| candidates[at]).collect()
}

/// Those of the examples of the largest number of shots that stand there with so many: the last ones.
pub(super) fn last(shown: &[usize], shots: usize) -> &[usize] {
    let n = if shots == 0 { TEXT_DEMONSTRATIONS } else { shots };
    &shown[shown.len().saturating_sub(n)..]
}

/// Demonstrations in another order, the `order`th from 1.
pub(super) fn reordered(shown: &[usize], seed: u64, item: usize, order: usize) -> Vec<usize> {
    let stream = ORDERS + ((item as u64) << 8) + order as u64;
    drawn(shown.len(), shown.len(), seed, stream).into_iter().map(|at| shown[at]).collect()
}

/// Orders that a list of `n` has, up to `most`.
pub(super) fn n_orders(n: usize, most: usize) -> usize {
    let mut orders = 1_usize;
    for factor in 2..=n {
        orders = orders.saturating_mul(factor);
        if orders >= most {
            return most;
        }
    }
    orders.min(most)
}

/// What the model is asked about an item after these examples.
pub(crate) fn question(
    plan: &BenchmarkPlan,
    compat: Compat,
    item: usize,
    shown: &[usize],
    shots: usize,
) -> Question {
    let item = &plan.test[item];
    let demonstration = |&example: &usize| {
        let example = &plan.train[example];
        let answer = example.answer.as_deref().expect("examples have answers");
        example.ask.demonstration(answer)
    };
    let texts: Vec<String> = shown.iter().map(demonstration).collect();
    let is_class = matches!(plan.task, Task::Classes(_));
    let pictures = match (shots, shown.first()) {
        // the pictures of the two examples go along without their `<image>`, and the only one is the first's
        (0, Some(&first)) if is_class && compat == Compat::OpenFlamingo => {
            vec![plan.train[first].picture]
        }
        (0, _) => vec![item.picture],
        _ => shown.iter().map(|&it| plan.train[it].picture).chain([item.picture]).collect(),
    };
    Question { prompt: prompt(&texts, &item.ask, shots > 0), pictures }
}

/// The question of an item, where it is one.
pub(super) fn words(ask: &Ask) -> &str {
    match ask {
        Ask::Question(text) | Ask::Hateful(text) => text,
        Ask::Caption | Ask::Class => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{BenchmarkPicture, Item, Truth};

    /// Five examples and two items; the first item has the picture of the first example.
    fn plan(task: Task) -> BenchmarkPlan {
        let picture = |name: &str, sha256: &str| BenchmarkPicture {
            name: name.to_owned(),
            path: name.into(),
            sha256: Some(sha256.to_owned()),
        };
        let item = |at: usize| Item {
            id: at.to_string(),
            picture: at,
            ask: Ask::Class,
            answer: Some(format!("class {at}")),
            truth: Truth::Unknown,
        };
        let names = ["a", "b", "c", "d", "e", "same as a", "g"];
        let pictures = names.map(|name| picture(name, name.trim_start_matches("same as ")));
        BenchmarkPlan {
            files: Vec::new(),
            task,
            pictures: pictures.to_vec(),
            train: (0..5).map(item).collect(),
            test: (5..7).map(item).collect(),
            package: "package".into(),
            model_id: "model".to_owned(),
        }
    }

    fn config(yaml: &str) -> FewShotConfig {
        config::parse(std::path::Path::new("s.yaml"), yaml).unwrap()
    }

    #[test]
    fn an_example_with_the_picture_of_the_item_is_left_out_unless_open_flamingo_is_repeated() {
        let plan = plan(Task::Captions);
        let asked = Asked::of(&plan, &config("shots: [2]"), 1);
        assert_eq!((asked.items.as_slice(), asked.pool.len()), (&[0, 1][..], 5));
        assert_eq!(asked.candidates(&plan, Compat::None, 0), [1, 2, 3, 4]);
        assert_eq!(asked.candidates(&plan, Compat::None, 1), [0, 1, 2, 3, 4]);
        assert_eq!(asked.candidates(&plan, Compat::OpenFlamingo, 0), [0, 1, 2, 3, 4]);
        assert_eq!(asked.pictures(&plan), [0, 1, 2, 3, 4, 5, 6]);
    }

    #[test]
    fn what_is_drawn_follows_the_seed() {
        let plan = plan(Task::Captions);
        let config = config("{ shots: [2], n_items: 1, demonstrations: { random: { among: 3 } } }");
        let of = |seed| Asked::of(&plan, &config, seed);
        assert_eq!((of(1).items.len(), of(1).pool.len()), (1, 3));
        let pools: std::collections::BTreeSet<Vec<usize>> =
            (0..20).map(|seed| of(seed).pool).collect();
        assert!(pools.len() > 3, "{pools:?}");
        let few = at_random(&of(1).pool, 1, 1, 0);
        assert_eq!(few, last(&at_random(&of(1).pool, 3, 1, 0), 1));
        assert_eq!(last(&[3, 2, 1], 0), [2, 1]);
        assert_eq!(last(&[1], 4), [1]);
    }

    #[test]
    fn without_shots_the_words_of_two_stand_there_and_the_items_picture() {
        let classes = Task::Classes(vec!["x".to_owned(), "y".to_owned()]);
        for task in [Task::Captions, classes.clone()] {
            let found = question(&plan(task), Compat::None, 1, &[3, 0], 0);
            assert_eq!(found.pictures, [6]);
            assert_eq!(
                found.prompt,
                "Output:class 3<|endofchunk|>Output:class 0<|endofchunk|><image>Output:"
            );
        }
        // what OpenFlamingo shows is the picture of the first example, where classes are chosen
        let found = question(&plan(classes), Compat::OpenFlamingo, 1, &[3, 0], 0);
        assert_eq!(found.pictures, [3]);
        let found = question(&plan(Task::Captions), Compat::OpenFlamingo, 1, &[3, 0], 0);
        assert_eq!(found.pictures, [6]);
        let found = question(&plan(Task::Captions), Compat::None, 1, &[3, 0], 2);
        assert_eq!(found.pictures, [3, 0, 6]);
        assert_eq!(found.prompt.matches(flamingo::IMAGE).count(), 3);
    }

    #[test]
    fn a_list_has_no_more_orders_than_its_length_allows() {
        assert_eq!([0, 1, 2, 3, 32].map(|n| n_orders(n, 6)), [1, 1, 2, 6, 6]);
        let (list, mut again): (Vec<usize>, _) = ((0..32).collect(), reordered(&[5; 0], 1, 0, 1));
        assert!(again.is_empty());
        again = reordered(&list, 1, 0, 1);
        assert_ne!(again, reordered(&list, 1, 0, 2));
        again.sort_unstable();
        assert_eq!(again, list);
    }
}
