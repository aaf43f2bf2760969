//! Gradients, with the weights made again from the moments.
//!
//! Two passes, so that no two tasks add to the same place: blocks of queries gather theirs over all
//! keys, blocks of keys gather theirs over all queries.

use std::ops::Range;

use rayon::prelude::*;

use super::{Attention, KEYS, Moments, QUERIES, blocks};
use crate::Real;
use crate::product::{View, product};

/// What the forward pass left, and the gradient of its result.
#[derive(Clone, Copy)]
struct Left<'a, T> {
    moments: &'a [Moments<T>],
    /// `Σ out · dout` of every query.
    dots: &'a [T],
    dout: &'a [T],
}

/// Room for the weights of a block and for the gradients of its scores.
struct Room<T>(Vec<T>, Vec<T>);

impl<T: Real> Room<T> {
    fn new() -> Self {
        let block = || vec![T::ZERO; QUERIES * KEYS];
        Self(block(), block())
    }
}

impl<T: Real> Attention<'_, T> {
    /// Gradients from the result, its moments and its gradient: of the queries where `for_queries`,
    /// of keys and values where `for_keys`.
    #[expect(clippy::type_complexity, reason = "one of queries, one of keys and of values")]
    pub fn backward(
        &self,
        out: &[T],
        moments: &[Moments<T>],
        dout: &[T],
        for_queries: bool,
        for_keys: bool,
    ) -> (Option<Vec<T>>, Option<(Vec<T>, Vec<T>)>) {
        let dim = self.shape.head_dim;
        assert_eq!(out.len(), self.shape.n_query_entries(), "a result is shaped as the queries");
        assert_eq!(dout.len(), out.len(), "a gradient is shaped as the result");
        assert_eq!(moments.len() * dim, out.len(), "every query has its moments");
        let dots: Vec<T> = out
            .chunks(dim)
            .zip(dout.chunks(dim))
            .map(|(o, d)| o.iter().zip(d).map(|(&o, &d)| o * d).sum())
            .collect();
        let left = Left { moments, dots: &dots, dout };
        (for_queries.then(|| self.of_queries(left)), for_keys.then(|| self.of_keys(left)))
    }

    fn of_queries(&self, left: Left<T>) -> Vec<T> {
        let shape = self.shape;
        let mut dqueries = vec![T::ZERO; shape.n_query_entries()];
        let mut tasks = Vec::new();
        for (head, mut rest) in
            dqueries.chunks_mut((shape.n_queries * shape.head_dim).max(1)).enumerate()
        {
            for rows in blocks(shape.n_queries, QUERIES) {
                let piece;
                (piece, rest) = rest.split_at_mut(rows.len() * shape.head_dim);
                tasks.push((head, rows, piece));
            }
        }
        let init = || (Vec::new(), Room::new());
        tasks.into_par_iter().for_each_init(init, |(scaled, room), (head, rows, dqueries)| {
            self.scaled(head, &rows, scaled);
            for keys in blocks(shape.n_keys, KEYS) {
                let (_, dscores) = self.weights(left, scaled, head, &rows, &keys, room);
                let block = self.key_rows(self.keys, self.kv_head(head), &keys);
                let dscores = View::rows(dscores, keys.len());
                product(dscores, View::rows(block, shape.head_dim), self.scale, true, dqueries);
            }
        });
        dqueries
    }

    fn of_keys(&self, left: Left<T>) -> (Vec<T>, Vec<T>) {
        let shape = self.shape;
        let dim = shape.head_dim;
        let mut dkeys = vec![T::ZERO; shape.n_key_entries()];
        let mut dvalues = dkeys.clone();
        let mut tasks = Vec::new();
        let heads = (shape.n_keys * dim).max(1);
        let pairs = dkeys.chunks_mut(heads).zip(dvalues.chunks_mut(heads));
        for (kv_head, (mut dkeys, mut dvalues)) in pairs.enumerate() {
            for keys in blocks(shape.n_keys, KEYS) {
                let (k, v);
                (k, dkeys) = dkeys.split_at_mut(keys.len() * dim);
                (v, dvalues) = dvalues.split_at_mut(keys.len() * dim);
                tasks.push((kv_head, keys, k, v));
            }
        }
        let group = shape.n_heads / shape.n_kv_heads;
        let init = || (Vec::new(), Room::new());
        tasks.into_par_iter().for_each_init(init, |(scaled, room), (kv_head, keys, dk, dv)| {
            for head in kv_head * group..(kv_head + 1) * group {
                for rows in blocks(shape.n_queries, QUERIES) {
                    self.scaled(head, &rows, scaled);
                    let (weights, dscores) = self.weights(left, scaled, head, &rows, &keys, room);
                    let dout = self.query_rows(left.dout, head, &rows);
                    let t = |xs| View::rows(xs, keys.len()).t();
                    product(t(weights), View::rows(dout, dim), T::ONE, true, dv);
                    product(t(dscores), View::rows(scaled, dim), T::ONE, true, dk);
                }
            }
        });
        (dkeys, dvalues)
    }

    /// The weights of a block and the gradients of its scores, `w · (dw − Σ w dw)`.
    fn weights<'r>(
        &self,
        left: Left<T>,
        scaled: &[T],
        head: usize,
        rows: &Range<usize>,
        keys: &Range<usize>,
        room: &'r mut Room<T>,
    ) -> (&'r [T], &'r [T]) {
        let dim = self.shape.head_dim;
        let n = rows.len() * keys.len();
        let (weights, dscores) = (&mut room.0[..n], &mut room.1[..n]);
        self.scores(scaled, head, keys, weights);
        let dout = View::rows(self.query_rows(left.dout, head, rows), dim);
        let values = View::rows(self.key_rows(self.values, self.kv_head(head), keys), dim);
        product(dout, values.t(), T::ONE, false, dscores);
        let first = head * self.shape.n_queries + rows.start;
        let allowed = self.allowed(head, keys);
        let each = weights.chunks_mut(keys.len()).zip(dscores.chunks_mut(keys.len()));
        for (row, (weights, dscores)) in each.enumerate() {
            let Moments { largest, sum } = left.moments[first + row];
            let dot = left.dots[first + row];
            T::exp_minus(weights, largest);
            for (w, ds) in weights.iter_mut().zip(dscores.iter_mut()) {
                *w = *w / sum;
                *ds = *w * (*ds - dot);
            }
            if let Some(allowed) = allowed {
                for (ds, _) in dscores.iter_mut().zip(allowed).filter(|(_, allowed)| !**allowed) {
                    *ds = T::ZERO;
                }
            }
        }
        (weights, dscores)
    }
}
