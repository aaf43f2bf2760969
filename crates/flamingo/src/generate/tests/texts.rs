use crate::package::tests::{package, request};
use crate::{Compat, Error, GenerateConfig, Generated, Model, Result};
use lm::decode::{EarlyStopping, Length};

pub(super) fn model() -> (tempfile::TempDir, Model) {
    let root = package();
    let model = Model::open(&root.path().join("model")).unwrap();
    (root, model)
}

pub(super) fn requests() -> Vec<crate::Request> {
    vec![
        request("<image>viewing", &[1]),
        request("<image>viewing<|endofchunk|><image>faces viewing", &[2, 3]),
        request("faces", &[]),
    ]
}

fn sampled(batch_size: usize) -> GenerateConfig {
    GenerateConfig {
        temperature: Some(1.5),
        seed: Some(7),
        num_return_sequences: Some(2),
        ..GenerateConfig::greedy(10, batch_size)
    }
}

fn searched(batch_size: usize) -> GenerateConfig {
    GenerateConfig {
        num_beams: Some(3),
        num_return_sequences: Some(2),
        ..GenerateConfig::greedy(10, batch_size)
    }
}

fn texts(found: &[Generated]) -> Vec<&str> {
    found.iter().map(|it| it.text.as_str()).collect()
}

#[test]
fn texts_do_not_depend_on_the_batch_size_or_on_neighbours() -> Result<()> {
    let (_root, model) = model();
    for config in [|n| GenerateConfig::greedy(10, n), sampled, searched] {
        let together = model.generate(&requests(), &config(3))?;
        assert_eq!(texts(&together), texts(&model.generate(&requests(), &config(1))?));
        assert_eq!(texts(&together), texts(&model.generate(&requests(), &config(2))?));
        let mut last = requests().remove(2);
        last.stream = Some(2);
        let n = config(1).n_texts();
        assert_eq!(texts(&together)[2 * n..], texts(&model.generate(&[last], &config(3))?));
    }
    Ok(())
}

#[test]
fn scans_become_keys_once_for_a_prompt_however_much_is_written() -> Result<()> {
    let (_root, model) = model();
    let n_gates = model.gates()?.len();
    for config in [GenerateConfig::greedy(10, 1), sampled(1), searched(1)] {
        let before = crate::gated::N_KEYS.get();
        let written = model.generate(&requests()[1..2], &config)?;
        assert!(written[0].n_tokens > 2, "{written:?}");
        assert_eq!(crate::gated::N_KEYS.get() - before, n_gates);
    }
    Ok(())
}

#[test]
fn another_seed_or_stream_draws_another_text() -> Result<()> {
    let (_root, model) = model();
    let drawn = |seed, stream| {
        let mut one = requests().remove(0);
        one.stream = stream;
        let config = GenerateConfig { seed: Some(seed), ..sampled(1) };
        model.generate(&[one], &config)
    };
    assert_eq!(drawn(1, None)?, drawn(1, Some(0))?);
    assert_ne!(drawn(1, None)?, drawn(2, None)?);
    assert_ne!(drawn(1, None)?, drawn(1, Some(1))?);
    let copies = drawn(1, None)?;
    assert_ne!(copies[0], copies[1]);
    Ok(())
}

#[test]
fn pieces_joined_are_the_texts() -> Result<()> {
    let (_root, model) = model();
    for config in [GenerateConfig::greedy(10, 2), sampled(2), searched(2)] {
        let mut joined = vec![String::new(); 3 * config.n_texts()];
        let mut n_pieces = 0;
        let found = model.generate_streaming(&requests(), &config, &mut |idx, piece| {
            n_pieces += 1;
            joined[idx].push_str(piece);
        })?;
        assert_eq!(joined, texts(&found));
        // beams come whole, all else piece by piece
        assert_eq!(n_pieces > joined.len(), config.num_beams.is_none(), "{n_pieces}");
    }
    Ok(())
}

#[test]
fn every_scan_of_an_interleaved_prompt_counts() -> Result<()> {
    let (_root, model) = model();
    let written = |first, second| {
        let prompt = "<image>faces<|endofchunk|><image>viewing";
        let config = GenerateConfig::greedy(10, 1);
        let cached = model.generate(&[request(prompt, &[first, second])], &config)?;
        // what is written sees the last scan, the examples before it the first
        Ok::<_, Error>(cached[0].text.clone())
    };
    let text = written(1, 2)?;
    assert_eq!(text, written(1, 2)?);
    let scores = |first, second| {
        let item = crate::Scored {
            prompt: "<image>faces<|endofchunk|><image>viewing".into(),
            continuation: text.clone(),
            media: request("", &[first, second]).media,
        };
        Ok::<_, Error>(model.log_likelihood(&[item], 1)?[0].sum)
    };
    let (same, other_first, other_last) = (scores(1, 2)?, scores(3, 2)?, scores(1, 3)?);
    assert!((same - other_first).abs() > 1e-5 && (same - other_last).abs() > 1e-5);
    Ok(())
}

#[test]
fn a_report_holds_no_special_token_but_its_end() {
    let (_root, model) = model();
    let banned = &model.vocabulary.banned;
    let id = |token| model.vocabulary.tokenizer.id(token).unwrap();
    for token in ["<image>", "<PAD>", lm::END_OF_TEXT] {
        assert!(banned.contains(&id(token)), "{token}");
    }
    assert!(!banned.contains(&id("<|endofchunk|>")));
}

#[test]
fn only_openflamingo_may_write_an_image_or_another_special_token() {
    let (_root, model) = model();
    let banned = |compat| {
        let decoding = GenerateConfig::greedy(4, 1).decoding(&model.vocabulary, compat, vec![0]);
        decoding.rules.banned
    };
    let mut special = model.vocabulary.tokenizer.special();
    special.retain(|&id| id != model.vocabulary.end_of_chunk);
    assert_eq!((banned(Compat::None), special.len()), (special, 3));
    assert!(banned(Compat::OpenFlamingo).is_empty());
}

#[test]
fn beams_are_ranked_and_the_greedy_text_is_not_better() -> Result<()> {
    let (_root, model) = model();
    let found = model.generate(&requests(), &searched(3))?;
    for pair in found.chunks(2) {
        assert!(pair[0].score.unwrap() >= pair[1].score.unwrap());
    }
    assert!(model.generate(&requests(), &GenerateConfig::greedy(4, 3))?[0].score.is_none());
    Ok(())
}

#[test]
fn contradictory_settings_are_refused_in_one_sentence() {
    let greedy = || GenerateConfig::greedy(8, 2);
    for (config, expected) in [
        (
            GenerateConfig { max_new_tokens: 0, ..greedy() },
            "`max_new_tokens` is 0, expected at least 1",
        ),
        (GenerateConfig { batch_size: 0, ..greedy() }, "`batch_size` is 0"),
        (GenerateConfig { top_k: Some(0), ..greedy() }, "`top_k` is 0"),
        (
            GenerateConfig { temperature: Some(0.), ..greedy() },
            "`temperature` is 0, expected a number above 0",
        ),
        (GenerateConfig { temperature: Some(f64::NAN), ..greedy() }, "`temperature` is NaN"),
        (
            GenerateConfig { repetition_penalty: Some(-1.), ..greedy() },
            "`repetition_penalty` is -1",
        ),
        (GenerateConfig { top_p: Some(1.5), ..greedy() }, "`top_p` is 1.5"),
        (
            GenerateConfig { min_new_tokens: Some(9), ..greedy() },
            "at most `max_new_tokens`, which is 8",
        ),
        (GenerateConfig { seed: Some(1), ..greedy() }, "`seed` is 1, expected `temperature`"),
        (
            GenerateConfig { length_penalty: Some(1.), ..greedy() },
            "`length_penalty` is 1, expected `num_beams` above 1",
        ),
        (GenerateConfig { length: Some(Length::Whole), ..greedy() }, "`length` is whole"),
        (
            GenerateConfig { early_stopping: Some(EarlyStopping::Never), ..greedy() },
            "`early_stopping` is never",
        ),
        (
            GenerateConfig { num_return_sequences: Some(2), ..greedy() },
            "at most `num_beams`, which is 1",
        ),
        (
            GenerateConfig { num_beams: Some(2), num_return_sequences: Some(3), ..greedy() },
            "which is 2",
        ),
        (
            GenerateConfig { num_beams: Some(2), temperature: Some(1.), ..greedy() },
            "`num_beams` is 2, expected 1 beside `temperature`",
        ),
        (
            GenerateConfig { num_beams: Some(2), length_penalty: Some(f64::INFINITY), ..greedy() },
            "`length_penalty` is inf",
        ),
    ] {
        let error = config.check().unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    for config in [greedy(), sampled(1), searched(1)] {
        config.check().unwrap();
    }
}

#[test]
fn settings_are_read_from_a_file_and_absent_ones_are_not_written() {
    let config: GenerateConfig =
        serde_yaml::from_str("{max_new_tokens: 96, batch_size: 16}").unwrap();
    assert_eq!(config, GenerateConfig::greedy(96, 16));
    assert_eq!(serde_json::to_value(&config).unwrap().as_object().unwrap().len(), 2);
    let text = "{max_new_tokens: 20, batch_size: 8, num_beams: 3, length_penalty: -2, \
                early_stopping: never, length: generated}";
    let config: GenerateConfig = serde_yaml::from_str(text).unwrap();
    assert_eq!(config.early_stopping, Some(EarlyStopping::Never));
    assert_eq!(config.length_penalty, Some(-2.));
    assert!(
        serde_yaml::from_str::<GenerateConfig>("{max_new_tokens: 1, batch_size: 1, beams: 2}")
            .is_err()
    );
}
