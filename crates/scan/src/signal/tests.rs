//! Cleaning beside nilearn on integers, and what must hold for any series.

use ndarray::{Array2, s};
use proptest::prelude::*;

use super::*;

const N: usize = 48;

fn series() -> Array2<f64> {
    Array2::from_shape_fn((N, 2), |(t, v)| {
        ((t * t * 7 + 13 * v + t * v * 5) % 23 + 100 + v * 10) as f64
    })
}

fn confounds() -> Array2<f64> {
    Array2::from_shape_fn((N, 2), |(t, c)| if c == 0 { t * 3 % 7 } else { t * t % 11 } as f64)
}

fn without(censored: &[usize]) -> Vec<usize> {
    (0..N).filter(|frame| !censored.contains(frame)).collect()
}

/// Value of the second frame, value in the middle of the second series, sum of absolute values.
fn assert_cleaned(found: &Array2<f64>, n_frames: usize, [second, middle, sum]: [f64; 3]) {
    assert_eq!(found.nrows(), n_frames);
    let total = found.mapv(f64::abs).sum();
    for (found, expected) in
        [(found[[1, 0]], second), (found[[n_frames / 2, 1]], middle), (total, sum)]
    {
        assert!((found - expected).abs() < 1e-9 * sum, "{found} {expected}");
    }
}

// nilearn 0.14.1: signal.clean on the same integers, t_r = 2
#[test]
fn every_step_agrees_with_nilearn() {
    let band = Filter::Butterworth { high_pass: Some(0.01), low_pass: Some(0.1) };
    let plain = SignalConfig { detrend: Detrend::Linear, ..Default::default() };
    let clean = |kept: Option<&[usize]>, config: &SignalConfig| {
        clean_signals(&series(), 2.0, Some(&confounds()), kept, config).unwrap()
    };
    let config = SignalConfig { filter: band, ..plain.clone() };
    let expected = [-1.582_588_474_463_123, -2.532_785_603_706_630_5, 317.858_983_126_350_2];
    assert_cleaned(&clean(None, &config), N, expected);

    let filter = Filter::Butterworth { high_pass: None, low_pass: Some(0.1) };
    let config = SignalConfig { filter, standardize: Standardize::Psc, ..plain.clone() };
    let expected = [-7.498_787_984_325_419, -1.773_126_595_436_726_8, 238.802_322_106_311_2];
    assert_cleaned(&clean(None, &config), N, expected);

    let config = SignalConfig {
        filter: Filter::Cosine { high_pass: 0.02 },
        standardize: Standardize::ZscoreSample,
        standardize_confounds: false,
        ..Default::default()
    };
    let expected = [0.466_720_362_931_465_35, 0.218_570_429_571_608_8, 78.479_013_155_362_9];
    assert_cleaned(&clean(None, &config), N, expected);

    let kept = without(&[0, 7, 20, 21, 47]);
    let config = SignalConfig { standardize: Standardize::ZscoreSample, ..plain.clone() };
    let expected = [-1.302_713_228_252_756_7, -0.836_781_971_970_668_3, 76.090_557_939_820_03];
    assert_cleaned(&clean(Some(&kept), &config), 43, expected);

    let config = SignalConfig { filter: band, ..plain };
    let expected = [3.322_953_382_977_71, -4.728_497_796_438_87, 318.855_784_856_979];
    assert_cleaned(&clean(Some(&kept), &config), 43, expected);
    let config = SignalConfig { extrapolate: true, ..config };
    let expected = [1.031_828_865_440_118_6, -4.508_864_551_597_673, 387.988_688_388_633];
    assert_cleaned(&clean(Some(&kept), &config), 43, expected);
}

// nilearn 0.14.1 as it is: frames 20 and 27 are mirrors of each other, as are 7 and 40
#[test]
fn the_slip_of_nilearn_is_there_on_request_only() {
    let kept = without(&[7, 20, 27, 40]);
    let band = Filter::Butterworth { high_pass: Some(0.01), low_pass: Some(0.1) };
    let right = SignalConfig { detrend: Detrend::Linear, filter: band, ..Default::default() };
    let slip = SignalConfig { nilearn_compat: true, ..right.clone() };
    let clean = |config| clean_signals(&series(), 2.0, None, Some(&kept), config).unwrap();
    let expected = [4.580_878_545_163_814, -3.536_900_968_132_177_7, 326.595_069_135_652_75];
    assert_cleaned(&clean(&slip), 44, expected);
    assert!((&clean(&slip) - &clean(&right)).iter().any(|x| x.abs() > 0.1));
}

#[test]
fn constant_series_become_zero_unless_nilearn_is_followed() {
    let mut flat = series();
    flat.slice_mut(s![.., 1]).fill(1234.567);
    let config = SignalConfig {
        filter: Filter::Butterworth { high_pass: Some(0.01), low_pass: Some(0.1) },
        standardize: Standardize::ZscoreSample,
        ..Default::default()
    };
    let cleaned = clean_signals(&flat, 2.0, Some(&confounds()), None, &config).unwrap();
    assert!(cleaned.column(1).iter().all(|x| *x == 0.0));
    assert!(cleaned.column(0).iter().any(|x| x.abs() > 1.0));
}

#[test]
fn what_cannot_be_cleaned_is_refused_in_one_sentence() {
    let config = SignalConfig::default();
    let clean = |series: &Array2<f64>, confounds: Option<&Array2<f64>>, kept: Option<&[usize]>| {
        clean_signals(series, 2.0, confounds, kept, &config).unwrap_err().to_string()
    };
    let short = Array2::zeros((7, 1));
    let found = clean(&series(), Some(&short), None);
    assert_eq!(found, "confounds have 7 frames, the series have 48");
    let found = clean(&series(), None, Some(&[3, 2]));
    assert_eq!(found, "kept frame 2 is out of order or beyond the run's 48 frames");
    let found = clean(&series(), None, Some(&[3, 48]));
    assert_eq!(found, "kept frame 48 is out of order or beyond the run's 48 frames");
    assert!(clean(&series(), None, Some(&[])).contains("at least 2 frames, found 0"));
    let mut nan = series();
    nan[[0, 0]] = f64::NAN;
    assert_eq!(clean(&nan, None, None), "1 of 96 values of the series are not finite");
}

#[test]
fn settings_are_strict_and_read_well() {
    let text = r#"{"detrend":"linear","filter":{"butterworth":{"high_pass":0.01,"low_pass":0.1}},
        "standardize":"zscore_sample","standardize_confounds":true,"extrapolate":false,
        "nilearn_compat":false}"#;
    let config: SignalConfig = serde_json::from_str(text).unwrap();
    assert_eq!(config.filter, Filter::Butterworth { high_pass: Some(0.01), low_pass: Some(0.1) });
    assert!(serde_json::from_str::<SignalConfig>(&text.replace("low_pass", "lowpass")).is_err());
}

proptest! {
    #[test]
    fn filters_are_linear(
        a in prop::collection::vec(-50.0_f64..50.0, 60),
        b in prop::collection::vec(-50.0_f64..50.0, 60),
        share in -3.0_f64..3.0,
    ) {
        let config = SignalConfig {
            filter: Filter::Butterworth { high_pass: Some(0.02), low_pass: Some(0.15) },
            detrend: Detrend::Linear,
            ..Default::default()
        };
        let column = |values: Vec<f64>| Array2::from_shape_vec((60, 1), values).unwrap();
        let clean = |x: &Array2<f64>| clean_signals(x, 2.0, None, None, &config).unwrap();
        let (a, b) = (column(a), column(b));
        let together = clean(&(&a + &(&b * share)));
        let apart = clean(&a) + clean(&b) * share;
        for (x, y) in together.iter().zip(&apart) {
            prop_assert!((x - y).abs() < 1e-8, "{x} {y}");
        }
    }
}
