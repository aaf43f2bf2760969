use super::*;
use crate::softmax;
use crate::testing::noise;

struct Case<T> {
    shape: AttentionShape,
    q: Vec<T>,
    k: Vec<T>,
    v: Vec<T>,
    allowed: Option<Vec<bool>>,
}

impl<T: Real> Case<T> {
    /// Sizes that are no multiple of a block.
    fn new(n_kv_heads: usize, n_queries: usize, n_keys: usize, head_dim: usize) -> Self {
        let shape =
            AttentionShape { batch: 2, n_heads: 4, n_kv_heads, n_queries, n_keys, head_dim };
        let keys = shape.n_key_entries();
        let q = noise(1, shape.n_query_entries());
        Self { shape, q, k: noise(2, keys), v: noise(3, keys), allowed: None }
    }

    fn attention(&self) -> Attention<'_, T> {
        let allowed = self.allowed.as_deref();
        Attention::new(self.shape, &self.q, &self.k, &self.v, 3., allowed).unwrap()
    }

    fn out(&self) -> Vec<T> {
        let mut out = vec![T::ZERO; self.q.len()];
        self.attention().forward(&mut out);
        out
    }

    /// The same from the whole matrix, in `f64`.
    fn plain(&self) -> Vec<f64> {
        let AttentionShape { batch, n_heads, n_kv_heads, n_queries, n_keys, head_dim } = self.shape;
        let mut out = Vec::new();
        for head in 0..batch * n_heads {
            let kv_head = head / (n_heads / n_kv_heads);
            for query in 0..n_queries {
                let q = &self.q[(head * n_queries + query) * head_dim..][..head_dim];
                let row = |xs: &'_ [T], key| -> Vec<f64> {
                    let at = (kv_head * n_keys + key) * head_dim;
                    xs[at..at + head_dim].iter().map(|x| x.wide()).collect()
                };
                let scores: Vec<f64> = (0..n_keys)
                    .map(|key| {
                        let open = |a: &Vec<bool>| a[head / n_heads * n_keys + key];
                        let dot = |k: Vec<f64>| q.iter().zip(k).map(|(q, k)| q.wide() * k).sum();
                        let score: f64 = dot(row(&self.k, key));
                        if self.allowed.as_ref().is_none_or(open) { 3. * score } else { f64::MIN }
                    })
                    .collect();
                let mut weights = vec![0.; n_keys];
                softmax(&scores, n_keys, 1, None, None, &mut weights);
                let mut sum = vec![0.; head_dim];
                for (key, weight) in weights.iter().enumerate() {
                    sum.iter_mut().zip(row(&self.v, key)).for_each(|(s, v)| *s += weight * v);
                }
                out.extend(sum);
            }
        }
        out
    }
}

fn gap<T: Real>(a: &[T], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a.wide() - b).abs()).fold(0., f64::max)
}

#[test]
fn the_streamed_result_is_the_plain_one() {
    for (n_queries, n_keys) in [(1, 1), (3, 700), (300, 5), (200, 1200)] {
        let mut wide = Case::<f64>::new(2, n_queries, n_keys, 6);
        let mut narrow = Case::<f32>::new(2, n_queries, n_keys, 6);
        assert!(gap(&wide.out(), &wide.plain()) < 1e-13);
        assert!(gap(&narrow.out(), &narrow.plain()) < 2e-6);
        // the second item sees nothing at all, the first every third key
        let allowed = (0..2 * n_keys).map(|i| i < n_keys && i % 3 == 0).collect::<Vec<_>>();
        wide.allowed = Some(allowed.clone());
        narrow.allowed = Some(allowed);
        assert!(gap(&wide.out(), &wide.plain()) < 1e-13);
        assert!(gap(&narrow.out(), &narrow.plain()) < 2e-6);
    }
}

#[test]
fn gradients_match_finite_differences() {
    let mut case = Case::<f64>::new(2, 150, 600, 3);
    // a key of the second item that nobody sees; the first item sees nothing
    case.allowed = Some((0..1200).map(|i| i >= 600 && i != 700).collect());
    let target = noise::<f64>(4, case.q.len());
    let loss =
        |case: &Case<f64>| -> f64 { case.out().iter().zip(&target).map(|(o, t)| o * o * t).sum() };
    let mut out = vec![0.; case.q.len()];
    let moments = case.attention().forward(&mut out);
    let dout: Vec<f64> = out.iter().zip(&target).map(|(o, t)| 2. * o * t).collect();
    let (dq, dkv) = case.attention().backward(&out, &moments, &dout, true, true);
    let (dk, dv) = dkv.unwrap();
    for (part, gradient) in [(0, dq.unwrap()), (1, dk), (2, dv)] {
        let largest = gradient.iter().fold(0f64, |top, g| top.max(g.abs()));
        for probe in 0..9 {
            // the last probe is a number of the key that nobody sees
            let at = if probe == 8 { (600 + 100) * 3 + 3600 } else { probe * gradient.len() / 8 };
            let at = at % gradient.len();
            let mut moved = |step: f64| {
                let [q, k, v] = [&mut case.q, &mut case.k, &mut case.v];
                [q, k, v][part][at] += step;
                loss(&case)
            };
            let slope = (moved(1e-5) - moved(-2e-5)) / 2e-5;
            moved(1e-5);
            let error = (slope - gradient[at]).abs() / largest;
            assert!(error < 1e-7, "part {part} [{at}]: {} {slope}", gradient[at]);
        }
    }
}

#[test]
fn only_the_gradients_that_are_asked_for() {
    let case = Case::<f32>::new(4, 2, 3, 4);
    let mut out = vec![0.; case.q.len()];
    let moments = case.attention().forward(&mut out);
    let (q, kv) = case.attention().backward(&out, &moments, &out, false, false);
    assert!(q.is_none() && kv.is_none());
}

#[test]
fn sizes_that_do_not_fit_are_refused() {
    let case = Case::<f32>::new(2, 2, 3, 4);
    let with = |n_kv_heads, keys: &[f32], allowed| {
        let shape = AttentionShape { n_kv_heads, ..case.shape };
        Attention::new(shape, &case.q, keys, &case.v, 1., allowed).is_some()
    };
    assert!(with(2, &case.k, Some(&[true; 6])));
    assert!(!with(2, &case.k[1..], None));
    assert!(!with(3, &case.k, None));
    assert!(!with(2, &case.k, Some(&[true; 5])));
}

#[test]
fn blocks_are_as_equal_as_can_be() {
    assert_eq!(blocks(10, 4).collect::<Vec<_>>(), [0..3, 3..6, 6..10]);
    assert_eq!(blocks(0, 4).count(), 0);
}
