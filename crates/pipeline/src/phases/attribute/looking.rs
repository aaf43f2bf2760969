//! One report: what each method says, and how they agree.
use std::{ops::Range, sync::Arc};

use encoder::InputShape;
use flamingo::{Attribution, LogLikelihood, Medium, Model, Scored, TokenScore};
use ndarray::{Array2, ArrayView1, Axis};

use super::{
    config::AttributeConfig,
    found::{Found, Grids, Moment, Place, Token, agreement},
    places::{self, Layout},
};
use crate::{
    Result,
    answers::Query,
    event::Control,
    media::Media,
    phases::{Trained, WrittenReport},
};

/// The places that a token looks at most.
const N_LOOKS: usize = 3;

/// The parts of a scan that a page names.
const N_PARTS: usize = 5;

/// What takes part in one reading of a report, in bytes, about.
const BATCH_BYTES: usize = 64 << 20;

/// A run whose reports are looked into.
pub(super) struct Looking<'a> {
    pub(super) config: &'a AttributeConfig,
    pub(super) media: &'a Media<'a>,
    pub(super) trained: &'a Trained,
    pub(super) reports: &'a [WrittenReport],
}

impl Looking<'_> {
    fn model(&self) -> &Model {
        &self.trained.model
    }

    /// How the tokens of a window lie: those that the model is shown, or those that its encoder makes.
    fn layout(&self) -> Option<Layout<'_>> {
        let input = self.model().manifest().input;
        if matches!(input, InputShape::Tokens { .. }) {
            let spec = &self.media.plan.encoder.as_ref()?.spec;
            return Some((&spec.layout, spec.tokens));
        }
        self.model().token_layout()
    }

    /// What a report leans on.
    ///
    /// # Errors
    /// Beside others [`flamingo::Error::TooLong`] and [`flamingo::Error::Continuation`] of odd texts, which as a prompt are
    /// other tokens than those that were written.
    pub(super) fn find(
        &self,
        report: &WrittenReport,
        control: &Control<'_>,
    ) -> Result<(Found, Grids)> {
        let stop = control.stop();
        let medium = self.media.medium(report.row)?;
        let of = |scan: Option<Arc<Medium>>| {
            let media = scan.map(|scan| self.media.named.with(report.row, scan));
            let query = Query { prompt: report.prompt.clone(), media: media.unwrap_or_default() };
            query.scored(&report.answer.text)
        };
        let own = self.model().attribution(&of(Some(Arc::clone(&medium))), &stop)?;
        let none = self.model().token_scores(&of(None), &stop)?;

        let attention = self.attention(&own);
        let gradient = own.gradient[self.media.named.scan()].as_ref().map(|it| self.of_values(it));
        let n_places = gradient.as_ref().or(attention.first()).map_or(0, Array2::nrows);
        let parts = places::parts(n_places, self.config.parts);
        let whole = LogLikelihood::of_tokens(&own.tokens).sum;
        let occluded = self.occluded(&medium, &parts, whole, &of, control)?;

        let sum = |grids: &[Array2<f32>]| {
            let mut grids = grids.iter().filter(|it| it.nrows() == n_places);
            let first = grids.next()?.clone();
            let n = 1. + grids.clone().count() as f32;
            Some(grids.fold(first, |sum, grid| sum + grid) / n)
        };
        let looked = sum(&attention);
        let along = |grid: &Option<Array2<f32>>, axis| {
            grid.as_ref().map(|it| it.sum_axis(Axis(axis)).mapv(f64::from).to_vec())
        };
        let [by_attention, by_gradient] = [&looked, &gradient].map(|grid| along(grid, 1));
        let of_parts = |values: &Option<Vec<f64>>| {
            let values = values.as_ref()?;
            Some(parts.iter().map(|part| values[part.clone()].iter().sum()).collect())
        };
        let whole: Option<Vec<f64>> = occluded.iter().copied().collect();
        let agreement = agreement(&[of_parts(&by_attention), of_parts(&by_gradient), whole]);

        let names = self.names(n_places);
        // an encoder may put parcels together before anything looks at them
        let looked_names = attention.first().map_or_else(Vec::new, |it| self.names(it.nrows()));
        let part_of = |place: usize| parts.iter().position(|part| part.contains(&place));
        let place = |(place, name): (usize, &String)| {
            let (part, at) =
                (part_of(place), |values: &Option<Vec<f64>>| Some(values.as_ref()?[place]));
            let occlusion = part.and_then(|part| occluded[part]);
            Place {
                name: name.clone(),
                part: occlusion.and(part).map(|part| part + 1),
                attention: at(&by_attention),
                gradient: at(&by_gradient),
                occlusion,
            }
        };
        let tokens = own.tokens.iter().zip(&none).enumerate();
        let token = |(at, (own, none)): (usize, (&TokenScore, &TokenScore))| Token {
            text: own.text.clone(),
            own: own.log_prob,
            none: none.log_prob,
            looks_at: attention.get(at).map_or_else(Vec::new, |grid| most(grid, &looked_names)),
        };
        let grids = Grids {
            places: names.iter().enumerate().map(place).collect(),
            moments: moments(along(&looked, 0), along(&gradient, 0)),
        };
        let found = Found {
            row: report.row,
            tokens: tokens.map(token).collect(),
            leaned_on: grids.leaned_on(N_PARTS),
            agreement,
        };
        Ok((found, grids))
    }

    /// For each token of the text how much of its attention lies at every place and moment; nothing where the encoder's
    /// tokens stand for no places.
    fn attention(&self, found: &Attribution) -> Vec<Array2<f32>> {
        let weights = found.of_medium(self.media.named.scan());
        let input = self.model().manifest().input;
        let n_tokens = match (self.layout(), input) {
            (Some((layout, policy)), _) => layout.n_tokens(policy),
            (None, InputShape::Tokens { n_tokens, .. }) => n_tokens,
            (None, _) => return Vec::new(),
        };
        let of_token = |row: ArrayView1<'_, f32>| {
            let windows = row.to_shape((row.len() / n_tokens, n_tokens)).expect("whole windows");
            let named = places::of_tokens(windows.view(), self.layout());
            let are_shown = matches!(input, InputShape::Tokens { .. });
            named.or_else(|| are_shown.then(|| windows.t().to_owned()))
        };
        weights.rows().into_iter().filter_map(of_token).collect()
    }

    fn of_values(&self, values: &Medium) -> Array2<f32> {
        places::of_values(values, self.model().manifest().input, self.layout())
    }

    /// What the text's log-likelihood, `whole` with everything there, loses without each part, in nats; none where
    /// nothing stands for it alone.
    fn occluded(
        &self,
        medium: &Medium,
        parts: &[Range<usize>],
        whole: f64,
        of: &dyn Fn(Option<Arc<Medium>>) -> Scored,
        control: &Control<'_>,
    ) -> Result<Vec<Option<f64>>> {
        let (stop, input) = (control.stop(), self.model().manifest().input);
        let owners = places::owners(input, self.layout());
        let bytes = size_of_val(medium.as_slice_memory_order().unwrap_or_default());
        let size = self.config.batch_size.min(BATCH_BYTES / bytes.max(1)).max(1);
        let mut all = Vec::with_capacity(parts.len());
        for some in parts.chunks(size) {
            let without = |part| places::without(medium, input, &owners, part);
            let without: Vec<Option<Medium>> = some.iter().map(without).collect();
            let are_there: Vec<bool> = without.iter().map(Option::is_some).collect();
            let items = without.into_iter().flatten().map(|it| of(Some(Arc::new(it))));
            let items: Vec<Scored> = items.collect();
            let mut found = self.model().log_likelihood_until(&items, size, &stop)?.into_iter();
            let loss =
                |is_there: bool| is_there.then(|| whole - found.next().expect("one a part").sum);
            all.extend(are_there.into_iter().map(loss));
        }
        Ok(all)
    }

    /// What places are called.
    fn names(&self, n_places: usize) -> Vec<String> {
        let parcels = self.media.parcels.as_ref().map(|it| preprocess::names(&it.about.parcels));
        if let Some(names) = parcels.filter(|names| names.len() == n_places) {
            return names;
        }
        let is_voxels =
            self.media.voxels.as_ref().is_some_and(|it| it.about.n_columns() == n_places);
        let what = if is_voxels { "voxel" } else { "place" };
        (1..=n_places).map(|at| format!("{what} {at}")).collect()
    }
}

/// The places that a grid of attention gives most, with their share.
fn most(grid: &Array2<f32>, names: &[String]) -> Vec<(String, f64)> {
    let shares = grid.sum_axis(Axis(1));
    let mut order: Vec<usize> = (0..shares.len().min(names.len())).collect();
    order.sort_by(|&a, &b| shares[b].total_cmp(&shares[a]));
    let named = order.into_iter().filter(|&at| shares[at] > 0.).take(N_LOOKS);
    named.map(|at| (names[at].clone(), f64::from(shares[at]))).collect()
}

/// Attention and gradient moment by moment: the gradient's moments go together where the encoder's tokens are of several.
fn moments(attention: Option<Vec<f64>>, gradient: Option<Vec<f64>>) -> Vec<Moment> {
    let n = attention.as_ref().or(gradient.as_ref()).map_or(0, Vec::len);
    let together = |values: Vec<f64>| {
        let size = values.len().checked_div(n).filter(|size| size * n == values.len())?;
        Some(values.chunks(size).map(|some| some.iter().sum()).collect::<Vec<f64>>())
    };
    let gradient = gradient.and_then(together);
    let at = |values: &Option<Vec<f64>>, at: usize| values.as_ref().map(|values| values[at]);
    (0..n)
        .map(|moment| Moment { attention: at(&attention, moment), gradient: at(&gradient, moment) })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_of_the_gradient_go_together_as_tokens_are_cut() {
        let found = moments(Some(vec![0.25, 0.75]), Some(vec![1., 2., 3., 5.]));
        let moment = |attention, gradient| Moment { attention: Some(attention), gradient };
        assert_eq!(found, [moment(0.25, Some(3.)), moment(0.75, Some(8.))]);
        assert_eq!(moments(Some(vec![1.; 2]), Some(vec![1.; 3]))[0], moment(1., None));
        let alone = moments(None, Some(vec![1., 2.]));
        assert_eq!(alone[1], Moment { attention: None, gradient: Some(2.) });
        assert!(moments(None, None).is_empty());
    }

    #[test]
    fn a_token_names_what_it_looks_at_most() {
        let grid = ndarray::array![[0.1, 0.1], [0., 0.], [0.3, 0.2], [0.1, 0.2]];
        let names = ["a", "b", "c", "d"].map(str::to_owned);
        let found: Vec<String> = most(&grid, &names).into_iter().map(|it| it.0).collect();
        assert_eq!(found, ["c", "d", "a"]);
    }
}
