//! Limited-memory BFGS with backtracking: Nocedal & Wright, Numerical Optimization, algorithm 7.4.

use std::collections::VecDeque;

use crate::{Error, Result};

const MEMORY: usize = 20;
const MAX_ITERATIONS: usize = 5000;
const MAX_HALVINGS: usize = 60;
const ARMIJO: f64 = 1e-4;
/// Near the minimum the loss no longer resolves a step; a step that keeps it up to this share and
/// flattens the slope is taken.
const ROUNDING: f64 = 1e-13;

/// Minimises a smooth convex function, which returns its value and fills in its gradient, until no
/// entry of the gradient exceeds `tolerance`.
pub(super) fn minimise(
    what: &'static str,
    mut x: Vec<f64>,
    tolerance: f64,
    mut function: impl FnMut(&[f64], &mut [f64]) -> f64,
) -> Result<Vec<f64>> {
    let mut gradient = vec![0.0; x.len()];
    let mut value = function(&x, &mut gradient);
    let mut memory: VecDeque<Pair> = VecDeque::with_capacity(MEMORY);
    let mut iterations = 0;
    while largest(&gradient) > tolerance && iterations < MAX_ITERATIONS {
        iterations += 1;
        let direction = direction(&memory, &gradient);
        let slope = dot(&direction, &gradient);
        let mut step = if memory.is_empty() { 1.0 / largest(&gradient).max(1.0) } else { 1.0 };
        let mut next_gradient = vec![0.0; x.len()];
        let mut taken = None;
        for _ in 0..MAX_HALVINGS {
            let next: Vec<f64> = x.iter().zip(&direction).map(|(x, d)| x + step * d).collect();
            let next_value = function(&next, &mut next_gradient);
            let flatter = dot(&direction, &next_gradient).abs() <= slope.abs();
            if next_value <= value + ARMIJO * step * slope
                || flatter && next_value <= value + ROUNDING * value.abs()
            {
                taken = Some((next, next_value));
                break;
            }
            step /= 2.0;
        }
        let Some((next, next_value)) = taken else {
            if memory.is_empty() {
                break;
            }
            memory.clear();
            continue;
        };
        let pair = Pair::new(&next, &x, &next_gradient, &gradient);
        if pair.curvature > 0.0 {
            if memory.len() == MEMORY {
                memory.pop_front();
            }
            memory.push_back(pair);
        }
        (x, value, gradient) = (next, next_value, next_gradient);
    }
    let left = largest(&gradient);
    if left > tolerance || !value.is_finite() {
        return Err(Error::NotConverged { what, iterations, gradient: left, tolerance });
    }
    Ok(x)
}

/// What one step taught about the curvature.
struct Pair {
    step: Vec<f64>,
    change: Vec<f64>,
    curvature: f64,
}

impl Pair {
    fn new(next: &[f64], x: &[f64], next_gradient: &[f64], gradient: &[f64]) -> Self {
        let minus = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a - b).collect::<Vec<_>>();
        let (step, change) = (minus(next, x), minus(next_gradient, gradient));
        Self { curvature: dot(&step, &change), step, change }
    }
}

/// The two-loop recursion.
fn direction(memory: &VecDeque<Pair>, gradient: &[f64]) -> Vec<f64> {
    let mut direction: Vec<f64> = gradient.iter().map(|g| -g).collect();
    let mut weights = Vec::with_capacity(memory.len());
    for pair in memory.iter().rev() {
        let weight = dot(&pair.step, &direction) / pair.curvature;
        add(&mut direction, -weight, &pair.change);
        weights.push(weight);
    }
    if let Some(last) = memory.back() {
        let scale = last.curvature / dot(&last.change, &last.change);
        for entry in &mut direction {
            *entry *= scale;
        }
    }
    for (pair, weight) in memory.iter().zip(weights.iter().rev()) {
        let correction = dot(&pair.change, &direction) / pair.curvature;
        add(&mut direction, weight - correction, &pair.step);
    }
    direction
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn add(to: &mut [f64], factor: f64, what: &[f64]) {
    to.iter_mut().zip(what).for_each(|(to, what)| *to += factor * what);
}

fn largest(gradient: &[f64]) -> f64 {
    gradient.iter().fold(0.0, |largest, g| largest.max(g.abs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_badly_scaled_quadratic_is_solved() {
        let scales = [1.0, 100.0, 1e4, 0.01];
        let x = minimise("a quadratic", vec![5.0; 4], 1e-9, |x, gradient| {
            for (idx, scale) in scales.iter().enumerate() {
                gradient[idx] = scale * (x[idx] - idx as f64);
            }
            scales
                .iter()
                .zip(x)
                .zip(0..)
                .map(|((s, x), i)| s * (x - f64::from(i)).powi(2) / 2.0)
                .sum()
        })
        .unwrap();
        for (idx, x) in x.iter().enumerate() {
            assert!((x - idx as f64).abs() < 1e-6, "{idx}: {x}");
        }
    }

    #[test]
    fn a_function_without_minimum_is_reported() {
        let error = minimise("a slope", vec![0.0], 1e-9, |x, gradient| {
            gradient[0] = -1.0;
            -x[0]
        });
        assert!(error.unwrap_err().to_string().starts_with("a slope stopped after"));
    }
}
