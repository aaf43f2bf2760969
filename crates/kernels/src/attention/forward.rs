//! Queries in blocks, each of which sees all keys pass.

use rayon::prelude::*;

use super::{Attention, KEYS, Moments, QUERIES, blocks};
use crate::Real;
use crate::product::{View, product};

impl<T: Real> Attention<'_, T> {
    /// Writes the result, shaped as the queries; returns the moments of every query.
    pub fn forward(&self, out: &mut [T]) -> Vec<Moments<T>> {
        let shape = self.shape;
        assert_eq!(out.len(), shape.n_query_entries(), "a result is shaped as the queries");
        let none = Moments { largest: T::LOWEST, sum: T::ZERO };
        let mut moments = vec![none; shape.batch * shape.n_heads * shape.n_queries];
        let heads = out
            .chunks_mut((shape.n_queries * shape.head_dim).max(1))
            .zip(moments.chunks_mut(shape.n_queries.max(1)));
        let mut tasks = Vec::new();
        for (head, (mut out, mut moments)) in heads.enumerate() {
            for rows in blocks(shape.n_queries, QUERIES) {
                let (o, m);
                (o, out) = out.split_at_mut(rows.len() * shape.head_dim);
                (m, moments) = moments.split_at_mut(rows.len());
                tasks.push((head, rows, o, m));
            }
        }
        tasks.into_par_iter().for_each_init(
            || (Vec::new(), vec![T::ZERO; QUERIES * KEYS]),
            |(scaled, scores), (head, rows, out, moments)| {
                self.scaled(head, &rows, scaled);
                self.attend(head, scaled, scores, out, moments);
            },
        );
        moments
    }

    /// One block of queries over all keys.
    fn attend(
        &self,
        head: usize,
        scaled: &[T],
        scores: &mut [T],
        out: &mut [T],
        moments: &mut [Moments<T>],
    ) {
        let dim = self.shape.head_dim;
        out.fill(T::ZERO);
        for keys in blocks(self.shape.n_keys, KEYS) {
            let scores = &mut scores[..moments.len() * keys.len()];
            self.scores(scaled, head, &keys, scores);
            let rows = scores.chunks_mut(keys.len()).zip(out.chunks_mut(dim));
            for ((scores, out), moments) in rows.zip(moments.iter_mut()) {
                let largest = T::largest(scores);
                if largest > moments.largest {
                    let shrink = (moments.largest - largest).exp();
                    moments.largest = largest;
                    moments.sum = moments.sum * shrink;
                    out.iter_mut().for_each(|o| *o = *o * shrink);
                }
                moments.sum += T::exp_minus(scores, moments.largest);
            }
            let values = self.key_rows(self.values, self.kv_head(head), &keys);
            let weights = View::rows(scores, keys.len());
            product(weights, View::rows(values, dim), T::ONE, true, out);
        }
        for (out, moments) in out.chunks_mut(dim).zip(moments) {
            out.iter_mut().for_each(|o| *o = *o / moments.sum);
        }
    }
}
