//! Published weight files of brain encoders: as packages, in pipelines, and refused.

use std::{
    fs,
    path::{Path, PathBuf},
};

use tempfile::TempDir;
use tests::{Ran, Stored, Synthetic, files_below, pytorch, root, run, says};
use xtask::encoders;

/// Weight files with the names and in the forms that they are published in.
struct Files(TempDir);

impl Files {
    fn new() -> Self {
        let files = Self(tempfile::tempdir().expect("a temporary folder"));
        let plain = |network| encoders::plain(encoders::brainlm(&network, 1).unwrap()).unwrap();
        files.put("region.bin", &pytorch(None, &plain(encoders::region_time())));
        let folder = files.path("vitmae");
        fs::create_dir(&folder).unwrap();
        encoders::write(&encoders::image(), 1, &folder.join("model.safetensors"), true).unwrap();
        let one_way = encoders::brainmt_plain(false, 1).unwrap();
        files.put("one_way.pth", &pytorch(Some("model_state_dict"), &one_way));
        let mut both_ways = encoders::brainmt_plain(true, 1).unwrap();
        both_ways.iter_mut().for_each(|it| it.0 = format!("model.{}", it.0));
        files.put("both_ways.ckpt", &pytorch(Some("state_dict"), &both_ways));
        files
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn put(&self, name: &str, bytes: &[u8]) {
        fs::write(self.path(name), bytes).expect("a file is written");
    }

    fn package(&self) -> PathBuf {
        self.path("models/package")
    }

    /// `model import` of one of them; its folder is called `[files]` in what it says.
    fn import(&self, encoder: &str, name: &str, more: &[&str]) -> Ran {
        let (weights, to) = (self.path(name), self.package());
        let paths = [weights, to].map(|path| path.display().to_string());
        let args =
            ["model", "import", "--encoder", encoder, "--weights", &paths[0], "--to", &paths[1]];
        run(&[&args[..], more].concat()).naming(self.0.path(), "[files]")
    }

    /// What an import says that is refused: one sentence, and nothing is left.
    fn refused(&self, encoder: &str, name: &str, more: &[&str]) -> String {
        let ran = self.import(encoder, name, more).exits_with(2);
        assert_eq!(ran.stdout, "", "{ran}");
        assert!(!self.path("models").exists(), "{ran}");
        ran.one_error()
    }

    fn package_command(&self, command: &str) -> Ran {
        let package = self.package().display().to_string();
        run(&["model", command, &package]).naming(self.0.path(), "[files]")
    }
}

const WARNING: &str = "CC BY-NC-ND 4.0: for research only; copies, converted or fine-tuned ones too, must \
                       not be handed on";

#[test]
fn weights_that_may_not_be_copied_are_named_with_their_digest() {
    let files = Files::new();
    for (name, network, more) in [
        ("region.bin", "BrainLM, network `region_time`, encoder and decoder", &[] as &[&str]),
        ("vitmae", "BrainLM, network `image`, encoder and decoder", &[]),
        ("vitmae/model.safetensors", "BrainLM, network `image`", &["--n-heads", "2"]),
    ] {
        let ran = files.import("brainlm", name, more).exits_with(0);
        assert!(ran.stderr.starts_with(&format!("warning: {WARNING}\n")), "{ran}");
        // the image's config.json lies beside it
        assert_eq!(ran.stderr.contains("no config.json"), name == "region.bin", "{ran}");
        says(&ran.stdout, &[network, "referenced", "true", "wrong_shape", "sha256"]);
        let package = files.package();
        let held: Vec<_> =
            fs::read_dir(&package).unwrap().flatten().map(|it| it.file_name()).collect();
        assert_eq!(held.len(), 3, "no copy of the weights: {held:?}");
        says(&fs::read_to_string(package.join("README.md")).unwrap(), &[WARNING, network]);
        let inspected = files.package_command("inspect").exits_with(0);
        says(&inspected.stdout, &[network, WARNING, " at ../../", "licence: CC BY-NC-ND 4.0"]);
        says(
            &files.package_command("verify").exits_with(0).stdout,
            &["[files]/models/package: whole"],
        );
    }
}

#[test]
fn weights_that_may_be_copied_are() {
    let files = Files::new();
    for (name, what) in
        [("one_way.pth", "BrainMT, scans one way"), ("both_ways.ckpt", "BrainMT, scans both ways")]
    {
        let ran = files.import("brainmt", name, &["--licence", "our own"]).exits_with(0);
        assert!(!ran.stderr.contains("warning"), "{ran}");
        says(&ran.stdout, &[what, "our own"]);
        let copy = files.package().join("encoder.safetensors");
        assert!(copy.is_file(), "{ran}");
        says(&files.package_command("inspect").exits_with(0).stdout, &[what, "pos_embed"]);
        let _ = files.package_command("verify").exits_with(0);
        let ran = files.import("brainmt", name, &["--reference"]).exits_with(0);
        assert!(!copy.exists(), "{ran}");
        let _ = files.package_command("verify").exits_with(0);
    }
}

#[test]
fn a_neighbours_encoder_is_copied_with_a_warning() {
    let files = Files::new();
    let weights = root().join("fixtures/neighbours/cortex_mae.pth");
    let ran = files.import("cortex_mae", &weights.display().to_string(), &[]).exits_with(0);
    assert_eq!(ran.stderr, "warning: CC BY-NC 4.0: for research only\n");
    says(
        &ran.stdout,
        &["CortexMAE of 3 parcels, encoder without a decoder", "cortex_mae_parcel_v1"],
    );
    assert!(files.package().join("encoder.safetensors").is_file());
    let _ = files.package_command("verify").exits_with(0);
}

/// A pipeline over three parcels, for the weights in `fixtures/neighbours`.
fn three_parcels() -> Synthetic {
    let cohort = Synthetic::new(3, Stored::Mixed, "encode-cohort");
    let labels = xtask::synthetic::labels();
    let values = labels.data().mapv(|label| if label > 0.0 { 1.0 + label % 3.0 } else { 0.0 });
    let atlas = scan::Volume::new(values, labels.affine().clone()).unwrap();
    scan::write_volume(cohort.dir().join("atlas/synthetic424.nii.gz"), &atlas).unwrap();
    cohort.edit_pipeline("        coordinates: atlas/synthetic424_coordinates.tsv\n", "");
    cohort.edit_pipeline("      mirror_check: { margin: 0.1 }\n", "");
    cohort.edit_pipeline(
        "  - normalise: { formula: robust_paper, pool_frames: 40 }",
        "  - resample_time: { t_r_s: 2.2, tolerance_s: 0.1, how: linear }\n  - normalise: { formula: \
         global_z, pool_frames: 10 }",
    );
    cohort.edit_pipeline(
        "n_frames: 20, policy: { tiled: { stride: 20 } }",
        "n_frames: 6, policy: centre",
    );
    cohort
}

#[test]
fn a_table_beside_the_weights_is_a_part_of_the_package() {
    let files = Files::new();
    let made = root().join("fixtures/neighbours");
    fs::copy(made.join("brain_jepa.pth.tar"), files.path("jepa.pth.tar")).unwrap();
    let said = files.refused("brain_jepa", "jepa.pth.tar", &[]);
    says(&said, &["jepa.pth.tar: its parcels have their places in a table", "(`gradients`)"]);
    let table = files.path("table.csv");
    fs::copy(made.join("brain_jepa_gradients.csv"), &table).unwrap();
    let name = table.display().to_string();
    let more = ["--gradients", name.as_str(), "--n-heads", "2"];
    let said = files.refused("brainmt", "one_way.pth", &more);
    says(&said, &["table.csv: is a table of gradients, of which `brainmt` reads none"]);
    let ran = files.import("brain_jepa", "jepa.pth.tar", &more).exits_with(0);
    assert!(
        ran.stderr.starts_with("warning: none stated, so all rights are the authors'"),
        "{ran}"
    );
    says(&ran.stdout, &["Brain-JEPA", "referenced", "gradients_sha256"]);
    let held: Vec<_> = files_below(&files.package());
    assert_eq!(held.len(), 3, "no copy of weights or table: {held:?}");
    let inspected = files.package_command("inspect").exits_with(0);
    says(&inspected.stdout, &["gradients at ../../table.csv", "encoder.safetensors at ../../jepa"]);
    let _ = files.package_command("verify").exits_with(0);

    // a pipeline gets what the two files give
    let cohort = three_parcels();
    let component = format!("model.encoder={{file: {}/encoder.yaml}}", files.package().display());
    let _ = cohort.run(&[&component]).exits_with(0);
    let result = || fs::read(cohort.result("encode-cohort", "embeddings.parquet")).unwrap();
    let from_package = result();
    let size =
        "{dim: 8, depth: 2, n_heads: 2, n_parcels: 3, n_frames: 6, patch: 2, n_gradients: 4}";
    let weights = files.path("jepa.pth.tar").display().to_string();
    let spelt = |weights: &str| {
        format!(
            "model.encoder={{brain_jepa: {{weights: {weights}, gradients: {name}, size: {size}}}}}"
        )
    };
    let again = cohort.run(&[&spelt(&format!("{{file: {weights}}}"))]).exits_with(0);
    assert!(from_package == result() && again.stderr.contains("encode: stored"), "{again}");
    let package = format!("{{package: {}}}", files.package().display());
    let said = cohort.run(&[&spelt(&package)]).exits_with(2).one_error();
    says(&said, &["the package names its table of gradients itself, expected no other"]);

    // moved beside the package, gone, or another one
    let whole = fs::read(&table).unwrap();
    fs::rename(&table, files.package().join("table.csv")).unwrap();
    let _ = files.package_command("verify").exits_with(0);
    fs::remove_file(files.package().join("table.csv")).unwrap();
    let said = files.package_command("verify").exits_with(2).one_error();
    says(&said, &["table.csv: is not there, but [files]/models/package refers to it"]);
    fs::write(&table, [&whole[..], b"\n"].concat()).unwrap();
    let checked = run(&["check", &cohort.pipeline().display().to_string(), "--set", &component]);
    says(&checked.exits_with(2).one_error(), &["table.csv: ", "but the package was made with"]);
}

#[test]
fn weights_that_were_moved_or_changed_since_are_told() {
    let files = Files::new();
    let _ = files.import("brainlm", "region.bin", &[]).exits_with(0);
    let (weights, beside) = (files.path("region.bin"), files.package().join("region.bin"));
    let whole = fs::read(&weights).unwrap();
    fs::rename(&weights, &beside).unwrap();
    let _ = files.package_command("verify").exits_with(0);
    fs::remove_file(&beside).unwrap();
    let said = files.package_command("verify").exits_with(2).one_error();
    says(
        &said,
        &["region.bin: is not there, but [files]/models/package refers to it", "hint: bring"],
    );
    let mut other = whole;
    *other.last_mut().unwrap() ^= 1;
    fs::write(&weights, other).unwrap();
    let said = files.package_command("verify").exits_with(2).one_error();
    says(&said, &["region.bin: ", "but the package was made with"]);
    // a model is asked for, and this is none
    let package = files.package().display().to_string();
    let said = run(&["generate", "--model", &package, "--prompt", "a"]).exits_with(2).one_error();
    says(&said, &["it is the package of an encoder alone, expected a whole model"]);
}

#[test]
fn a_pipeline_names_the_package_and_gets_what_the_file_gives() {
    let files = Files::new();
    let config = encoders::config_json(&encoders::region_time()).to_string();
    files.put("config.json", config.as_bytes());
    let ran = files.import("brainlm", "region.bin", &[]).exits_with(0);
    assert!(!ran.stderr.contains("no config.json"), "the one beside the weights is read: {ran}");
    let cohort = Synthetic::new(3, Stored::Mixed, "encode-cohort");
    let component = format!("model.encoder={{file: {}/encoder.yaml}}", files.package().display());
    let ran = cohort.run(&[&component]).exits_with(0);
    let table = || fs::read(cohort.result("encode-cohort", "embeddings.parquet")).unwrap();
    let from_package = table();
    let used = fs::read_to_string(cohort.result("encode-cohort", "config_used.yaml")).unwrap();
    says(&used, &["package: "]);
    let network = serde_json::to_string(&encoders::region_time()).unwrap();
    let weights = files.path("region.bin");
    let set = format!(
        "model.encoder={{brainlm: {{network: {network}, weights: {{file: {}}}}}}}",
        weights.display()
    );
    let _ = cohort.run(&[&set]).exits_with(0);
    assert!(from_package == table(), "{ran}");
    // written out, the package as its weights
    let named = set.replace("{file:", "{package:");
    let named =
        named.replace(&weights.display().to_string(), &files.package().display().to_string());
    let again = cohort.run(&[&named]).exits_with(0);
    assert!(from_package == table() && again.stderr.contains("encode: stored"), "{again}");
    // another file in its place is refused before a scan is opened
    encoders::write(&encoders::region_time(), 2, &weights, false).unwrap();
    let checked = run(&["check", &cohort.pipeline().display().to_string(), "--set", &component]);
    says(&checked.exits_with(2).one_error(), &["region.bin: ", "but the package was made with"]);
}

#[test]
fn the_other_network_and_another_width_are_refused_by_name() {
    let files = Files::new();
    let config = |network: &encoders::Network| {
        let path = files.path("config.json");
        fs::write(&path, encoders::config_json(network).to_string()).unwrap();
        path.display().to_string()
    };
    let image = config(&encoders::image());
    let said = files.refused("brainlm", "region.bin", &["--config", &image]);
    says(
        &said,
        &["region.bin: its tensors are those of BrainLM's `region_time` network, expected"],
    );
    says(&said, &["`image`: the two share no weights"]);
    let wide = config(&encoders::region_time_of_width(32));
    let said = files.refused("brainlm", "region.bin", &["--config", &wide]);
    says(&said, &["region.bin: tensor `", "has shape", "this model needs"]);
    fs::remove_file(files.path("config.json")).unwrap();
    let said = files.refused("brainlm", "one_way.pth", &[]);
    says(&said, &["one_way.pth: its tensors are of no BrainLM"]);
    let said = files.refused("brainmt", "region.bin", &[]);
    says(&said, &["region.bin: ", "so it is not BrainMT's"]);
    fs::remove_file(files.path("vitmae/config.json")).unwrap();
    let said = files.refused("brainlm", "vitmae", &[]);
    says(&said, &["model.safetensors: its width is 8 and its shapes do not tell how many heads"]);
    says(&files.refused("brainlm", "nowhere.bin", &[]), &["nowhere.bin"]);
}

#[test]
fn damaged_foreign_and_dangerous_files_are_refused() {
    let files = Files::new();
    let whole = fs::read(files.path("region.bin")).unwrap();
    files.put("cut.bin", &whole[..whole.len() - 40]);
    says(&files.refused("brainlm", "cut.bin", &[]), &["cut.bin", "truncated"]);
    files.put("evil.bin", &fs::read(root().join("fixtures/formats/malicious.pt")).unwrap());
    says(&files.refused("brainlm", "evil.bin", &[]), &["evil.bin", "wants to call `posix.system`"]);
    files.put("text.bin", b"not a weight file");
    says(&files.refused("brainmt", "text.bin", &[]), &["text.bin"]);
    let plain = |change: &dyn Fn(&mut Vec<encoders::Plain>)| {
        let all = encoders::brainlm(&encoders::region_time(), 1).unwrap();
        let mut all = encoders::plain(all).unwrap();
        change(&mut all);
        files.put("changed.bin", &pytorch(None, &all));
        files.refused("brainlm", "changed.bin", &[])
    };
    let said = plain(&|all| all.retain(|it| it.0 != "vit.layernorm.bias"));
    says(&said, &["changed.bin: tensor `vit.layernorm.bias` is missing"]);
    let said = plain(&|all| all.push(("vit.pooler.bias".to_owned(), vec![1], vec![0.0])));
    says(&said, &["changed.bin: tensor `vit.pooler.bias` belongs to no part of this model"]);
    let said = plain(&|all| all[0].2[0] = f32::NAN);
    says(&said, &["changed.bin", "not finite"]);
    // what is not a package is left alone
    files.put("models", b"a file");
    let ran = files.import("brainlm", "region.bin", &[]).exits_with(2);
    assert_eq!(fs::read(files.path("models")).unwrap(), b"a file", "{ran}");
}

/// Nothing of a package, hidden or not, is left behind.
#[test]
fn an_import_that_fails_leaves_the_old_package() {
    let files = Files::new();
    let _ = files.import("brainlm", "region.bin", &[]).exits_with(0);
    let before: Vec<_> = content(&files.path("models"));
    let ran = files.import("brainlm", "one_way.pth", &[]).exits_with(2);
    assert_eq!(content(&files.path("models")), before, "{ran}");
}

fn content(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    files_below(folder).into_iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}
