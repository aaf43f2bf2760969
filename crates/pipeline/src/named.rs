//! Several media of a report: what each row is shown, in the order of the prompt.
use std::{collections::HashSet, sync::Arc};

use flamingo::{Medium, unnamed};
use ndarray::ArrayD;
use report::prompt::PromptTemplate;
use scan::Split;
use serde::{Deserialize, Serialize};

use crate::plan::{CohortPlan, OmicsPlan};

/// How cells of a medium become what the model is shown: fitted to the training people alone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Scaling {
    /// The medium.
    pub(crate) name: String,
    pub(crate) columns: Vec<String>,
    mean: Vec<f64>,
    /// Of the sample.
    sd: Vec<f64>,
}

/// What is shown of a medium that is not there.
pub(crate) fn missing() -> Arc<Medium> {
    Arc::new(ArrayD::zeros(vec![0]))
}

impl Scaling {
    /// Mean and standard deviation of each column over the training people; the same cells of a person count once.
    fn fit(plan: &OmicsPlan, cohort: &CohortPlan, splits: &[Split]) -> Self {
        let rows = cohort.rows.iter().zip(&plan.rows).zip(splits);
        let rows = rows.map(|((row, cells), split)| {
            (cohort.scans[row.scan_idx].subject.as_str(), cells.as_deref(), *split)
        });
        Self::of_training(&plan.name, &plan.columns, rows)
    }

    fn of_training<'a>(
        name: &str,
        columns: &[String],
        rows: impl Iterator<Item = (&'a str, Option<&'a [Option<f64>]>, Split)>,
    ) -> Self {
        let (mut people, mut known) = (Vec::new(), HashSet::new());
        for (person, cells, split) in rows {
            let Some(cells) = cells.filter(|_| split == Split::Train) else { continue };
            let bits: Vec<Option<u64>> = cells.iter().map(|it| it.map(f64::to_bits)).collect();
            if known.insert((person, bits)) {
                people.push(cells);
            }
        }
        let of_column = |at: usize| {
            let values: Vec<f64> = people.iter().filter_map(|cells| cells[at]).collect();
            let n = values.len() as f64;
            let mean = values.iter().sum::<f64>() / n;
            let squares = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>();
            (mean, (squares / (n - 1.)).sqrt())
        };
        let (mean, sd) = (0..columns.len()).map(of_column).unzip();
        Self { name: name.to_owned(), columns: columns.to_vec(), mean, sd }
    }

    /// Standardised values, 0 where one is missing, and where they are; of nobody's cells a missing medium.
    pub(crate) fn medium(&self, cells: Option<&[Option<f64>]>) -> Arc<Medium> {
        let Some(cells) = cells.filter(|it| it.iter().any(Option::is_some)) else {
            return missing();
        };
        let scaled = cells.iter().zip(self.mean.iter().zip(&self.sd));
        let values = scaled.map(|(cell, (mean, sd))| cell.map_or(0., |it| (it - mean) / sd) as f32);
        let lacks = cells.iter().map(|cell| f32::from(u8::from(cell.is_none())));
        let both = values.chain(lacks).collect();
        let medium = ArrayD::from_shape_vec(vec![2, cells.len()], both);
        Arc::new(medium.expect("two rows of a cell each"))
    }
}

/// What stands at an `<image>` of the prompt.
#[derive(Clone, Debug)]
enum Source {
    Scan,
    /// Which of the numbers.
    Omics(usize),
}

/// The media of all rows, in the order of the prompt; of a report of one medium nothing.
#[derive(Clone, Debug, Default)]
pub(crate) struct Named {
    order: Vec<(String, Source)>,
    pub(crate) scalings: Vec<Scaling>,
    /// By scaling and row.
    shown: Vec<Vec<Arc<Medium>>>,
}

impl Named {
    pub(crate) fn of(cohort: &CohortPlan, prompt: &PromptTemplate, splits: &[Split]) -> Self {
        let scalings: Vec<Scaling> =
            cohort.omics.iter().map(|it| Scaling::fit(it, cohort, splits)).collect();
        let shown = scalings.iter().zip(&cohort.omics).map(|(scaling, plan)| {
            plan.rows.iter().map(|cells| scaling.medium(cells.as_deref())).collect()
        });
        let shown = shown.collect();
        Self { order: order(prompt, &scalings), scalings, shown }
    }

    /// Names in the order of the prompt.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.order.iter().map(|it| it.0.as_str())
    }

    /// Which of the media is the scan.
    pub(crate) fn scan(&self) -> usize {
        self.order.iter().position(|it| matches!(it.1, Source::Scan)).unwrap_or(0)
    }

    /// What a row is shown, with this scan.
    pub(crate) fn with(&self, row: usize, scan: Arc<Medium>) -> Vec<Arc<Medium>> {
        let of = |(_, source): &(String, Source)| match source {
            Source::Scan => Arc::clone(&scan),
            Source::Omics(at) => Arc::clone(&self.shown[*at][row]),
        };
        if self.order.is_empty() { vec![scan] } else { self.order.iter().map(of).collect() }
    }
}

/// What a model is shown of one person: a scan, and cells of the media of numbers by their names.
pub(crate) fn of_one(
    prompt: &PromptTemplate,
    scalings: &[Scaling],
    scan: Arc<Medium>,
    cells: impl Fn(&Scaling) -> Option<Vec<Option<f64>>>,
) -> Vec<Arc<Medium>> {
    let order = order(prompt, scalings);
    let of = |(_, source): &(String, Source)| match source {
        Source::Scan => Arc::clone(&scan),
        Source::Omics(at) => scalings[*at].medium(cells(&scalings[*at]).as_deref()),
    };
    if order.is_empty() { vec![scan] } else { order.iter().map(of).collect() }
}

fn order(prompt: &PromptTemplate, scalings: &[Scaling]) -> Vec<(String, Source)> {
    let template: String = prompt.clone().into();
    let (_, names) = unnamed(&template);
    let named = names.into_iter().flatten().map(|name| {
        let omics = scalings.iter().position(|it| it.name == name);
        (name.to_owned(), omics.map_or(Source::Scan, Source::Omics))
    });
    named.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_are_those_of_the_training_people_each_counted_once() {
        let cells = |a: f64, b: Option<f64>| vec![Some(a), b];
        let rows = [
            ("p1", cells(1., Some(10.)), Split::Train),
            ("p1", cells(1., Some(10.)), Split::Train),
            ("p2", cells(3., None), Split::Train),
            ("p3", cells(8., Some(16.)), Split::Train),
            ("p4", cells(1e6, Some(1e6)), Split::Test),
            ("p5", cells(-1e6, Some(1e6)), Split::Validation),
        ];
        let rows =
            rows.iter().map(|(person, cells, split)| (*person, Some(cells.as_slice()), *split));
        let nobody = [("p6", None, Split::Train)];
        let names = ["a".to_owned(), "b".to_owned()];
        let found = Scaling::of_training("scores", &names, rows.chain(nobody));
        assert_eq!(found.mean, [4., 13.]);
        // numpy.std([1, 3, 8], ddof=1), numpy.std([10, 16], ddof=1)
        let sd = [3.605_551_275_463_989, 4.242_640_687_119_285];
        assert!(found.sd.iter().zip(sd).all(|(found, sd)| (found - sd).abs() < 1e-12), "{found:?}");
    }

    #[test]
    fn cells_are_standardised_and_missing_ones_are_the_mean_and_marked() {
        let scaling = Scaling {
            name: "omics".to_owned(),
            columns: vec!["a".to_owned(), "b".to_owned()],
            mean: vec![2., 10.],
            sd: vec![0.5, 2.],
        };
        let medium = scaling.medium(Some(&[Some(3.), None]));
        assert_eq!(medium.as_slice().unwrap(), [2., 0., 0., 1.]);
        assert_eq!(medium.shape(), [2, 2]);
        for cells in [None, Some(&[None, None][..])] {
            assert!(scaling.medium(cells).is_empty());
        }
    }
}
