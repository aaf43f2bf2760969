//! Student's t.

/// Beyond so many degrees of freedom the normal quantile is right to three digits.
const NEARLY_NORMAL: f64 = 2000.0;

/// The 97.5th percentile of Student's t, also for degrees of freedom that are no whole number; at
/// least 1 is assumed.
///
/// With `t = sqrt(df) tan(a)` the density becomes `cos(a)^(df - 1)`, which is summed here by Simpson's
/// rule from 0 to a right angle.
pub(crate) fn t_975(df: f64) -> f64 {
    const N_STEPS: usize = 4096;
    if df >= NEARLY_NORMAL {
        return 1.96;
    }
    let df = df.max(1.0);
    let step = std::f64::consts::FRAC_PI_2 / N_STEPS as f64;
    let density = |idx: usize| (idx as f64 * step).cos().max(0.0).powf(df - 1.0);
    let mut sums = Vec::with_capacity(N_STEPS / 2 + 1);
    sums.push(0.0);
    for idx in (0..N_STEPS).step_by(2) {
        let part = density(idx) + 4.0 * density(idx + 1) + density(idx + 2);
        sums.push(sums[idx / 2] + part);
    }
    let wanted = 0.95 * sums[N_STEPS / 2];
    let above = sums.partition_point(|&sum| sum < wanted).max(1);
    let share = (wanted - sums[above - 1]) / (sums[above] - sums[above - 1]);
    df.sqrt() * (2.0 * step * ((above - 1) as f64 + share)).tan()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_match_the_tables() {
        // scipy.stats.t.ppf(0.975, df)
        for (df, expected) in [
            (1.0, 12.7062),
            (2.0, 4.302_65),
            (3.0, 3.182_45),
            (7.0, 2.364_62),
            (15.0, 2.131_45),
            (32.0, 2.036_93),
            (199.0, 1.971_96),
        ] {
            assert!((t_975(df) / expected - 1.0).abs() < 2e-4, "{df}: {}", t_975(df));
        }
        assert!(t_975(5.5) < t_975(5.0) && t_975(5.5) > t_975(6.0));
        assert!((t_975(1e6) - 1.96).abs() < 1e-4 && t_975(0.2) < 12.8);
    }
}
