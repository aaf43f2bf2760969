use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::package::tests::{package, request};
use crate::tiny::{IMAGE, compatible, model, prompts, rows, scans};
use crate::{Error, LogLikelihood, Model, Prompts, RankBy, Result, Scored, classified};

mod shared;

const ALL: [usize; 4] = [0, 1, 2, 3];
const CLASSES: [&[u32]; 4] = [&[4], &[7, 7, 1], &[2, 10], &[3, IMAGE, 5, 10]];

fn pairs() -> Vec<(usize, &'static [u32])> {
    ALL.iter().flat_map(|&row| CLASSES.map(|class| (row, class))).collect()
}

fn assert_close(found: &[Vec<f64>], expected: &[Vec<f64>], tolerance: f64) {
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        assert_eq!(found.len(), expected.len());
        for (a, b) in found.iter().zip(expected) {
            assert!((a - b).abs() < tolerance, "{found:?} {expected:?}");
        }
    }
}

/// Each continuation after its prompt, read as one text.
fn whole(model: &crate::Flamingo, pairs: &[(usize, &[u32])]) -> Result<Vec<Vec<f64>>> {
    let texts: Vec<_> = pairs.iter().map(|&(row, ids)| [&*rows()[row], ids].concat()).collect();
    let starts: Vec<_> = pairs.iter().map(|&(row, _)| rows()[row].len()).collect();
    let owners: Vec<u32> = pairs.iter().map(|&(row, _)| row as u32).collect();
    let media = scans(model, &ALL).select(&owners)?;
    model.log_probs(texts, &starts, Some(&media), IMAGE)
}

#[test]
fn cached_prompts_give_the_likelihoods_of_whole_texts() -> Result<()> {
    let model = model();
    let media = scans(&model, &ALL);
    let cached = model.cache_prompts(prompts(&ALL), Some(&media))?;
    let pairs = pairs();
    assert_close(&cached.log_probs(&pairs)?, &whole(&model, &pairs)?, 1e-9);
    Ok(())
}

#[test]
fn a_cached_prompt_scores_the_same_twice_and_beside_anything() -> Result<()> {
    let model = model();
    let media = scans(&model, &ALL);
    let cached = model.cache_prompts(prompts(&ALL), Some(&media))?;
    let first = cached.log_probs(&pairs())?;
    assert_eq!(cached.log_probs(&pairs())?, first);
    for (pair, expected) in pairs().into_iter().zip(first) {
        assert_close(&cached.log_probs(&[pair])?, &[expected], 1e-9);
    }
    assert!(cached.log_probs(&[])?.is_empty());
    assert_eq!(cached.log_probs(&[(0, &[])])?, [Vec::<f64>::new()]);
    Ok(())
}

#[test]
fn openflamingos_cached_likelihoods_see_the_padding() -> Result<()> {
    let model = compatible();
    let media = scans(&model, &ALL);
    let cached = model.cache_prompts(prompts(&ALL), Some(&media))?;
    let pairs: Vec<_> = pairs().into_iter().filter(|(_, ids)| !ids.contains(&IMAGE)).collect();
    let (found, expected) = (cached.log_probs(&pairs)?, whole(&model, &pairs)?);
    for ((&(row, ids), found), expected) in pairs.iter().zip(&found).zip(&expected) {
        let gap = |range: std::ops::Range<usize>| {
            range.map(|at| (found[at] - expected[at]).abs()).fold(0., f64::max)
        };
        // the prompt's own last token is masked as ever
        assert!(gap(0..1) < 1e-9);
        // row 0 is the longest: it has no padding
        assert!(ids.len() == 1 || (gap(1..ids.len()) < 1e-9) == (row == 0), "{row} {ids:?}");
    }
    // one token at a time, as OpenFlamingo runs them: every token sees all before it
    let one = cached.log_probs(&[(1, &[7, 7])])?;
    assert_close(&one, &[cached.log_probs(&[(1, &[7, 7, 1])])?[0][..2].to_vec()], 1e-12);
    Ok(())
}

#[test]
fn a_prompt_without_a_last_token_or_a_text_without_room_is_refused() -> Result<()> {
    let model = model();
    let right = Prompts::right_padded(vec![vec![1], vec![1, 2]], IMAGE);
    assert!(matches!(model.cache_prompts(right, None), Err(Error::NoLastToken)));
    let cached = model.cache_prompts(prompts(&[2]), None)?;
    assert!(cached.log_probs(&[(0, &[1; 61])]).is_ok());
    let error = cached.log_probs(&[(0, &[1; 62])]);
    assert!(matches!(error, Err(Error::TooLong { found: 65, limit: 64 })));
    Ok(())
}

#[test]
fn classes_are_ranked_by_sum_or_mean() {
    let of = |sum, n_tokens| LogLikelihood { sum, n_tokens };
    let both = || vec![of(-2., 1), of(-3., 3), of(-3., 3)];
    let by_sum = classified(both(), RankBy::Sum);
    assert_eq!(by_sum.best, 0);
    let by_mean = classified(both(), RankBy::Mean);
    assert_eq!(by_mean.best, 1);
    for (found, expected) in
        [(by_sum, [(-2f64).exp(), (-3f64).exp()]), (by_mean, [(-2f64).exp(), (-1f64).exp()])]
    {
        let total = expected[0] + 2. * expected[1];
        assert!((found.probabilities[0] - expected[0] / total).abs() < 1e-12);
        assert!((found.probabilities.iter().sum::<f64>() - 1.).abs() < 1e-12);
    }
}

#[test]
fn items_that_share_a_prompt_score_as_alone_and_classes_are_their_best() -> Result<()> {
    let root = package();
    let model = Model::open(&root.path().join("model"))?;
    let requests = [
        request("<image>viewing", &[1]),
        request("faces", &[]),
        request("<image>a<image>", &[2, 3]),
    ];
    let classes = [" faces".to_owned(), " viewing faces".to_owned(), "a".to_owned()];
    let found = model.classify(&requests, &classes, RankBy::Sum, 4)?;
    for (request, found) in requests.iter().zip(&found) {
        let mut alone = Vec::new();
        for class in &classes {
            let item = Scored {
                prompt: request.prompt.clone(),
                continuation: class.clone(),
                media: request.media.clone(),
            };
            alone.push(model.log_likelihood(&[item], 1)?[0]);
        }
        for (a, b) in alone.iter().zip(&found.likelihoods) {
            assert!((a.sum - b.sum).abs() < 1e-5 && a.n_tokens == b.n_tokens, "{a:?} {b:?}");
        }
        assert_eq!(found.best, classified(alone, RankBy::Sum).best);
    }
    Ok(())
}

#[test]
fn a_continuation_of_no_tokens_or_with_an_image_is_refused() -> Result<()> {
    let root = package();
    let model = Model::open(&root.path().join("model"))?;
    let requests = [request("<image>viewing", &[1])];
    for (continuation, expected) in [
        ("", "the continuation `` has no tokens"),
        (" faces<image>", "the continuation ` faces<image>` has an `<image>`"),
    ] {
        let item = Scored {
            prompt: requests[0].prompt.clone(),
            continuation: continuation.to_owned(),
            media: requests[0].media.clone(),
        };
        let error = model.log_likelihood(&[item], 1).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{error}");
        let classes = [" faces".to_owned(), continuation.to_owned()];
        let error = model.classify(&requests, &classes, RankBy::Mean, 4).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{error}");
    }
    let item =
        Scored { prompt: String::new(), continuation: " faces".to_owned(), media: Vec::new() };
    assert!(matches!(model.log_likelihood(&[item], 1), Err(Error::NoLastToken)));
    Ok(())
}

#[test]
fn a_wish_to_stop_is_heard_between_blocks() -> Result<()> {
    let model = model();
    let media = scans(&model, &ALL);
    for after in [1, 2, 3] {
        let asked = AtomicUsize::new(0);
        let stop = || asked.fetch_add(1, Ordering::Relaxed) + 1 >= after;
        let whole = model.log_probs_until(rows(), &[1; 4], Some(&media), IMAGE, &stop);
        assert!(matches!(whole, Err(Error::Stopped)));
        assert_eq!(asked.into_inner(), after, "nobody is asked after the answer");
    }
    // while prompts are read, and while what continues them is
    let is_late = AtomicBool::new(false);
    let stop = || is_late.load(Ordering::Relaxed);
    let cached = model.cache_prompts_until(prompts(&ALL), Some(&media), &stop)?;
    is_late.store(true, Ordering::Relaxed);
    assert!(matches!(cached.log_probs(&pairs()), Err(Error::Stopped)));
    let again = model.cache_prompts_until(prompts(&ALL), Some(&media), &stop);
    assert!(matches!(again, Err(Error::Stopped)));
    Ok(())
}
