//! Whether a data set can be asked as a stage says, before a picture is decoded.
use std::collections::BTreeSet;

use encoder::Photo;
use report::counted;

use super::{BenchmarkPlan, Task, benchmark, folds};
use crate::{
    Error, Result,
    phases::{
        Asked, Demonstrations, FEW_SHOT, Features, FewShotConfig, Lengths, at_random, from_table,
        retrieved,
    },
    spec::{BenchmarkSpec, Loaded},
};

pub(super) fn plan(loaded: &Loaded, spec: &BenchmarkSpec) -> Result<BenchmarkPlan> {
    let config = loaded.spec.few_shot().expect("the chain of stages was checked");
    let mut plan = benchmark::plan(loaded, spec, config.compat)?;
    settings_fit(config, &plan)?;
    let seeds: Vec<u64> = folds::of_seeds(&loaded.spec, &[])?.iter().map(|run| run.seed).collect();
    let asked: Vec<Asked> = seeds.iter().map(|&seed| Asked::of(&plan, config, seed)).collect();
    let shown: BTreeSet<usize> = asked.iter().flat_map(|it| it.pictures(&plan)).collect();
    look(loaded, &mut plan, &shown)?;
    let shown: Vec<usize> = shown.into_iter().collect();
    let (k, compat) = (config.most_demonstrations(), config.compat);
    let lengths = Lengths::of(&plan, config)?;
    let table = match &config.demonstrations {
        Demonstrations::Rices(Features::Table(table)) => {
            let path = loaded.resolve(&table.file);
            Some(from_table(&path, table, &plan.pictures, &shown)?)
        }
        _ => None,
    };
    for (asked, &seed) in asked.iter().zip(&seeds) {
        enough(config, &plan, asked)?;
        match (&config.demonstrations, &table) {
            (Demonstrations::Random(_), _) => {
                let of_item = |&item: &usize| {
                    (item, at_random(&asked.candidates(&plan, compat, item), k, seed, item))
                };
                lengths.check(&asked.items.iter().map(of_item).collect())?;
            }
            (_, Some(vectors)) => lengths.check(&retrieved(&plan, compat, asked, vectors, k))?,
            // which ones are retrieved the encoder says
            (_, None) => lengths.check_shortest(asked, compat, k)?,
        }
    }
    Ok(plan)
}

/// Refuses settings that say nothing of this task, or ask for more items than there are.
fn settings_fit(config: &FewShotConfig, plan: &BenchmarkPlan) -> Result<()> {
    let setting = |field, found: String, expected: String| {
        Err(Error::Setting { stage: FEW_SHOT, field, found, expected })
    };
    let is_class = matches!(plan.task, Task::Classes(_));
    if is_class && config.writing.is_some() {
        let expected = "nothing: classes are chosen, not written (`choosing`)".to_owned();
        return setting("writing", "given".to_owned(), expected);
    }
    if !is_class && config.choosing.is_some() {
        let expected = "nothing: answers are written, not chosen (`writing`)".to_owned();
        return setting("choosing", "given".to_owned(), expected);
    }
    if let Some(n_items) = config.n_items.filter(|&it| it > plan.test.len()) {
        let expected = format!("at most {}, the items of the data set", plan.test.len());
        return setting("n_items", n_items.to_string(), expected);
    }
    Ok(())
}

/// Looks at every picture that a run may show, and takes its digest.
fn look(loaded: &Loaded, plan: &mut BenchmarkPlan, shown: &BTreeSet<usize>) -> Result<()> {
    let mut problems = Vec::new();
    for &picture in shown {
        let path = plan.pictures[picture].path.clone();
        match Photo::check(&path) {
            Ok(()) => plan.pictures[picture].sha256 = Some(loaded.sha256(&path)?),
            Err(error) => problems.push(error.into()),
        }
    }
    Error::collect(problems)
}

/// Refuses more shots than there are examples that may stand before an item.
fn enough(config: &FewShotConfig, plan: &BenchmarkPlan, asked: &Asked) -> Result<()> {
    let k = config.most_demonstrations();
    for &item in &asked.items {
        let n = asked.candidates(plan, config.compat, item).len();
        if n >= k {
            continue;
        }
        let without = match asked.pool.len() - n {
            0 => String::new(),
            n => {
                let id = &plan.test[item].id;
                format!(", {} with the picture of item {id} left out", counted(n, "example"))
            }
        };
        let expected = format!("at most {n}, the examples that there are{without}");
        // without shots the words of two examples stand there
        let words = if config.shots == [0] { " (0 shows the words of two)" } else { "" };
        let found = format!("{k}{words}");
        return Err(Error::Setting { stage: FEW_SHOT, field: "shots", found, expected });
    }
    Ok(())
}
