use std::sync::atomic::{AtomicUsize, Ordering};

use lm::decode::{BeamConfig, EarlyStopping, Length, Rules, Sampling};

use crate::generate::{Choice, Chosen, Decoding, Forced, Sequence};
use crate::tiny::{END, IMAGE, compatible, fused, model, prompts, rows, scans};
use crate::{Compat, Flamingo, MediaView, Prompts, Result};

const ALL: [usize; 4] = [0, 1, 2, 3];

fn run(
    model: &Flamingo,
    picked: &[usize],
    media: Option<&MediaView>,
    decoding: &Decoding,
) -> Vec<Vec<Sequence>> {
    model.generate_ids(prompts(picked), media, decoding, &mut |_| Ok(())).unwrap()
}

fn greedy(max_new_tokens: usize) -> Decoding {
    let mut decoding = Decoding::greedy(max_new_tokens, END);
    decoding.rules.banned = vec![IMAGE];
    decoding
}

fn sampling(streams: &[usize]) -> Decoding {
    let sampling = Sampling { temperature: 1.2, top_k: Some(8), top_p: Some(0.95), seed: 4 };
    let streams = streams.iter().map(|&stream| stream as u64).collect();
    let choice = Choice::Sample { sampling, streams };
    Decoding { choice, num_return_sequences: 2, ..greedy(12) }
}

fn beams(length_penalty: f64, early_stopping: EarlyStopping) -> Decoding {
    let config = BeamConfig { length_penalty, early_stopping, ..BeamConfig::new(3) };
    Decoding { choice: Choice::Beams(config), num_return_sequences: 3, ..greedy(9) }
}

/// Scores of the id after `text`, everything read anew.
fn reread(model: &Flamingo, text: &[u32], media: Option<&MediaView>) -> Vec<f32> {
    let view =
        Prompts::left_padded(vec![text.to_vec()], IMAGE).view(64, &nn::Device::cpu()).unwrap();
    let hidden = model.hidden(&view, media, None).unwrap();
    let last = hidden.narrow(1, text.len() - 1, 1).unwrap().flatten_all().unwrap();
    let logits = model.head(&last.unsqueeze(0).unwrap()).unwrap();
    logits.to_dtype(candle_core::DType::F32).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

#[test]
fn cached_scores_equal_those_of_reading_everything_anew() -> Result<()> {
    let model = model();
    let media = scans(&model, &ALL);
    let mut told: Vec<Vec<(u32, Vec<f32>)>> = vec![Vec::new(); 4];
    let mut decoding = greedy(12);
    decoding.rules.banned.clear();
    // a written `<image>` has no scan: it counts as it would in a prompt
    decoding.forced = vec![Forced { prompt: 1, step: 2, id: IMAGE }];
    let found = model.generate_ids(prompts(&ALL), Some(&media), &decoding, &mut |chosen| {
        told[chosen.sequence].push((chosen.id, chosen.scores.to_vec()));
        Ok(())
    })?;
    for (row, told) in told.into_iter().enumerate() {
        assert_eq!(found[row][0].ids, told.iter().map(|(id, _)| *id).collect::<Vec<_>>());
        let mut text = rows()[row].clone();
        let alone = media.select(&[row as u32])?;
        for (step, (id, scores)) in told.into_iter().enumerate() {
            let expected = reread(&model, &text, Some(&alone));
            for (found, expected) in scores.iter().zip(expected) {
                let forced = (row, step) == (1, 2);
                assert!(forced || (found - expected).abs() < 1e-5, "{row} {step}");
            }
            text.push(id);
        }
    }
    Ok(())
}

#[test]
fn a_batch_equals_its_singles_whichever_way_ids_are_chosen() {
    let model = model();
    let media = scans(&model, &ALL);
    for (name, decoding) in [
        ("greedy", greedy(12)),
        ("sampling", sampling(&ALL)),
        ("beams", beams(1., EarlyStopping::Heuristic)),
        ("short beams", beams(-2., EarlyStopping::Full)),
    ] {
        let together = run(&model, &ALL, Some(&media), &decoding);
        let reversed = [3, 2, 1, 0];
        let with_streams = |streams: &[usize]| match &decoding.choice {
            Choice::Sample { .. } => sampling(streams),
            _ => decoding.clone(),
        };
        let backwards = media.select(&[3, 2, 1, 0]).unwrap();
        let mut turned = run(&model, &reversed, Some(&backwards), &with_streams(&reversed));
        turned.reverse();
        for row in ALL {
            let alone = media.select(&[row as u32]).unwrap();
            let single = run(&model, &[row], Some(&alone), &with_streams(&[row]));
            for other in [&single[0], &turned[row]] {
                for (a, b) in together[row].iter().zip(other) {
                    assert_eq!((&a.ids, a.stopped), (&b.ids, b.stopped), "{name} {row}");
                    let gap = a.score.unwrap_or(0.) - b.score.unwrap_or(0.);
                    assert!(gap.abs() < 1e-5, "{name} {row}");
                }
            }
        }
        let lengths: Vec<usize> = together.iter().flatten().map(|it| it.ids.len()).collect();
        assert!(
            lengths.iter().any(|n| *n != lengths[0]),
            "{name}: no text ended early {lengths:?}"
        );
    }
}

#[test]
fn a_text_without_scans_needs_no_media() {
    let model = model();
    let media = scans(&model, &[2]);
    for decoding in [greedy(8), sampling(&[2]), beams(1., EarlyStopping::Never)] {
        let without = run(&model, &[2], None, &decoding);
        let beside = run(&model, &[2], Some(&media), &decoding);
        assert_eq!(without[0][0].ids, beside[0][0].ids);
    }
}

#[test]
fn beams_hold_what_their_score_says() {
    let model = model();
    let media = scans(&model, &ALL);
    for length in [Length::Whole, Length::Generated] {
        let mut decoding = beams(1., EarlyStopping::Heuristic);
        let config = BeamConfig { length, ..BeamConfig::new(3) };
        decoding.choice = Choice::Beams(config);
        for (row, texts) in run(&model, &ALL, Some(&media), &decoding).iter().enumerate() {
            let alone = media.select(&[row as u32]).unwrap();
            assert_eq!(texts.len(), 3);
            for text in texts {
                let mut whole = rows()[row].clone();
                let mut sum = 0.;
                for &id in &text.ids {
                    let mut scores = reread(&model, &whole, Some(&alone));
                    lm::decode::log_softmax(&mut scores);
                    sum += f64::from(scores[id as usize]);
                    whole.push(id);
                }
                let n = match length {
                    Length::Whole => whole.len() - usize::from(text.stopped),
                    Length::Generated => text.ids.len(),
                };
                let score = text.score.unwrap();
                assert!((score - sum / n as f64).abs() < 1e-5, "{score} {}", sum / n as f64);
            }
        }
    }
}

#[test]
fn a_single_beam_is_greedy() {
    let model = model();
    let media = scans(&model, &ALL);
    let one = Decoding { choice: Choice::Beams(BeamConfig::new(1)), ..greedy(9) };
    let ids = |decoding| -> Vec<_> {
        let found = run(&model, &ALL, Some(&media), decoding);
        found.into_iter().flatten().map(|text| (text.ids, text.stopped)).collect()
    };
    assert_eq!(ids(&one), ids(&greedy(9)));
}

#[test]
fn rules_hold_in_every_text() {
    let model = model();
    let media = scans(&model, &ALL);
    let rules = Rules {
        min_new_tokens: 4,
        banned: vec![IMAGE, 7],
        no_repeat_ngram_size: Some(2),
        repetition_penalty: Some(1.3),
        ..Rules::none(END)
    };
    for decoding in [greedy(10), sampling(&ALL), beams(1., EarlyStopping::Full)] {
        let free = run(&model, &ALL, Some(&media), &decoding);
        let decoding = Decoding { rules: rules.clone(), ..decoding };
        let found = run(&model, &ALL, Some(&media), &decoding);
        assert_ne!(free, found);
        for (row, text) in
            found.iter().enumerate().flat_map(|(row, it)| it.iter().map(move |t| (row, t)))
        {
            assert!(text.ids.len() >= 4 && !text.ids[..4].contains(&END));
            assert!(text.ids.iter().all(|id| ![IMAGE, 7].contains(id)));
            let whole = [&*rows()[row], &text.ids].concat();
            let pairs: Vec<_> = whole.windows(2).skip(rows()[row].len() - 1).collect();
            for (idx, pair) in pairs.iter().enumerate() {
                let before = &whole[..rows()[row].len() + idx];
                assert!(!before.windows(2).any(|it| it == *pair), "{whole:?}");
            }
        }
    }
}

#[test]
fn a_written_image_turns_the_scans_of_the_whole_batch_off_as_in_openflamingo() {
    let model = compatible();
    let media = scans(&model, &ALL);
    let mut decoding = greedy(6);
    decoding.rules.end = 99;
    decoding.forced = vec![Forced { prompt: 0, step: 1, id: IMAGE }];
    let mut told: Vec<Vec<(u32, Vec<f32>)>> = vec![Vec::new(); 4];
    let listener = &mut |chosen: Chosen<'_>| {
        told[chosen.sequence].push((chosen.id, chosen.scores.to_vec()));
        Ok(())
    };
    model.generate_ids(prompts(&ALL), Some(&media), &decoding, listener).unwrap();
    for (row, told) in told.iter().enumerate() {
        let mut text = rows()[row].clone();
        let alone = media.select(&[row as u32]).unwrap();
        for (step, (id, scores)) in told.iter().enumerate() {
            // the pass that reads step 1's token and all later ones see another scan
            let mut view = Prompts::left_padded(vec![text.clone()], IMAGE)
                .view(64, &nn::Device::cpu())
                .unwrap();
            if step >= 2 {
                let n_before = rows()[row].len() + 1;
                view.text_time[0][n_before..].fill(usize::from(row == 0));
            }
            let hidden = model.hidden(&view, Some(&alone), None).unwrap();
            let last = hidden.narrow(1, text.len() - 1, 1).unwrap().squeeze(1).unwrap();
            let logits = model.head(&last).unwrap().flatten_all().unwrap();
            for (found, expected) in scores.iter().zip(logits.to_vec1::<f64>().unwrap()) {
                let close = (f64::from(*found) - expected).abs() < 1e-4;
                assert!(close || *found == f32::NEG_INFINITY || (row, step) == (0, 1));
            }
            text.push(*id);
        }
        assert_eq!(told.len(), 6);
    }
}

#[test]
fn beams_lengths_count_the_padding_as_in_openflamingo() {
    let model = model();
    let media = scans(&model, &ALL);
    let mut decoding = beams(1., EarlyStopping::Full);
    decoding.rules.end = 99;
    let ours = run(&model, &ALL, Some(&media), &decoding);
    let compatible = compatible();
    let media = scans(&compatible, &ALL);
    let theirs = run(&compatible, &ALL, Some(&media), &decoding);
    for (row, (ours, theirs)) in ours.iter().zip(&theirs).enumerate() {
        let ratio = (rows()[row].len() + 9) as f64 / (6. + 9.);
        let expected = ours[0].score.unwrap() * ratio;
        assert!((theirs[0].score.unwrap() - expected).abs() < 1e-9, "{row}");
    }
}

#[test]
fn an_error_in_the_middle_leaves_nothing_behind() {
    static FUSE: AtomicUsize = AtomicUsize::new(0);
    let model = fused(&FUSE, Compat::None);
    let media = scans(&model, &ALL);
    for decoding in [greedy(8), sampling(&ALL), beams(1., EarlyStopping::Heuristic)] {
        let before = run(&model, &ALL, Some(&media), &decoding);
        for blocks in [1, 2, 5, 8] {
            FUSE.store(blocks, Ordering::Relaxed);
            let broken =
                model.generate_ids(prompts(&ALL), Some(&media), &decoding, &mut |_| Ok(()));
            assert!(broken.unwrap_err().to_string().contains("fuse"), "{blocks}");
            assert_eq!(run(&model, &ALL, Some(&media), &decoding), before);
        }
    }
}

#[test]
fn the_listeners_error_ends_the_writing() {
    let model = model();
    let mut left = 5;
    let found = model.generate_ids(prompts(&[2, 2]), None, &greedy(8), &mut |_| {
        left -= 1;
        if left == 0 { Err(crate::Error::NoLastToken) } else { Ok(()) }
    });
    assert!(found.is_err() && left == 0);
}

#[test]
fn prompts_that_end_in_padding_or_leave_no_room_are_refused() {
    let model = model();
    let decoding = greedy(8);
    let refuse = |prompts| model.generate_ids(prompts, None, &decoding, &mut |_| Ok(()));
    let right = Prompts::right_padded(vec![vec![1], vec![1, 2]], IMAGE);
    assert!(matches!(refuse(right), Err(crate::Error::NoLastToken)));
    let long = Prompts::left_padded(vec![vec![1; 57]], IMAGE);
    assert!(matches!(refuse(long), Err(crate::Error::TooLong { found: 65, limit: 64 })));
}

#[test]
fn a_wish_to_stop_is_heard_between_blocks() {
    let model = model();
    let media = scans(&model, &ALL);
    for decoding in [greedy(8), sampling(&ALL), beams(1., EarlyStopping::Heuristic)] {
        // in the middle of the prompts, and of some later token
        for after in [1, 3, 7] {
            let asked = AtomicUsize::new(0);
            let stop = || asked.fetch_add(1, Ordering::Relaxed) + 1 >= after;
            let (prompts, mut listener) = (prompts(&ALL), |_: Chosen<'_>| Ok(()));
            let media = Some(&media);
            let found = model.generate_ids_until(prompts, media, &decoding, &mut listener, &stop);
            assert!(matches!(found, Err(crate::Error::Stopped)));
            assert_eq!(asked.into_inner(), after, "nobody is asked after the answer");
        }
    }
}
