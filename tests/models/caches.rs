//! Caches: ours are those of the hub's own clients, and theirs are ours.

use std::{fs, os::unix::fs::symlink, path::Path, process::Command};

use rbee::sandbox::hub::TOKEN;

use crate::stage::{Ran, Stage, files, sound_blobs};

#[test]
fn a_cache_has_the_hubs_own_form() {
    let stage = Stage::new(&["page=3"]);
    stage.rbee("model download rbee/safetensors").exits(0);
    let repo = stage.cache().join("models--rbee--safetensors");
    let commit = fs::read_to_string(repo.join("refs/main")).unwrap();
    assert!(commit.len() == 40, "a newline: {commit:?}");
    let link = fs::read_link(repo.join("snapshots").join(&commit).join("tokenizer/tokenizer.json")).unwrap();
    assert!(link.to_str().unwrap().starts_with("../../../blobs/"), "{link:?}");
    assert_eq!(fs::read(repo.join("snapshots").join(&commit).join("empty.txt")).unwrap(), b"");
    assert_eq!(sound_blobs(&stage.cache()), 7);
    // The other revision shares what is the same.
    let sent = stage.hub.sent();
    stage.rbee("model download rbee/safetensors@v1").exits(0);
    assert!(stage.hub.sent() - sent < 1_300_000);
    stage.rbee("model remove rbee/safetensors@main").exits(0).says("freed 1.2 MB");
    stage.rbee("model verify rbee/safetensors").exits(0);
    stage.rbee("model get rbee/safetensors").exits(0).says("v1");
    stage.rbee("model remove rbee/safetensors").exits(0);
    assert!(!repo.exists());
    stage.rbee("model remove rbee/safetensors").exits(0).says("is not there");
    stage.rbee("model remove ../../x").exits(2);
}

#[test]
fn many_small_files_come_in_pages_and_one_bundle() {
    let stage = Stage::new(&["page=7"]);
    stage.rbee("model download rbee/many").exits(0);
    assert_eq!(sound_blobs(&stage.cache()), 130);
    assert!(stage.rbee("model download rbee/many").exits(0).to_string().contains("unchanged"));
}

#[test]
fn a_gguf_repository_gives_one_quantisation_and_all_its_shards() {
    let stage = Stage::new(&[]);
    stage.rbee("model download rbee/sharded-GGUF").exits(0).says("Q4_K_M of 2 quantisations");
    assert_eq!(sound_blobs(&stage.cache()), 4);
    stage.rbee("model download rbee/sharded-GGUF --quant q8_0").exits(0);
    assert_eq!(sound_blobs(&stage.cache()), 9);
    stage.rbee("model download rbee/sharded-GGUF --quant Q5_0").exits(5).says("it has Q4_K_M, Q8_0");
    stage.rbee("model download rbee/sharded-GGUF --fits").exits(0).says("is the largest that fits the");
    let dry = stage.rbee("model download TheBloke/TinyLlama-1.1B-Chat-v1.0-GGUF --dry-run").exits(0).says("to come");
    assert!(!stage.cache().join("models--TheBloke--TinyLlama-1.1B-Chat-v1.0-GGUF").exists(), "{dry}");
}

#[test]
fn what_is_wrong_in_a_cache_is_found_and_mended() {
    let stage = Stage::new(&[]);
    stage.rbee("model download rbee/safetensors").exits(0);
    let blob = files(&stage.cache())
        .into_iter()
        .find(|path| path.file_name().unwrap().len() == 64 && path.parent().unwrap().ends_with("blobs"));
    let blob = blob.unwrap();
    let mut bytes = fs::read(&blob).unwrap();
    bytes[1000] ^= 1;
    fs::remove_file(&blob).unwrap();
    // A newer cache keeps its blobs elsewhere.
    let elsewhere = stage.dir.path().join("elsewhere");
    fs::write(&elsewhere, &bytes).unwrap();
    symlink(&elsewhere, &blob).unwrap();
    stage.rbee("model verify").exits(1).says("its digest is");
    stage.rbee("model download rbee/safetensors").exits(0).says("fetching it again");
    stage.rbee("model verify").exits(0);
    sound_blobs(&stage.cache());
}

#[test]
fn without_the_hub_what_is_there_is_enough() {
    let stage = Stage::new(&[]);
    let offline = |words: &str| Ran(stage.command(words).env("HF_HUB_OFFLINE", "1").output().unwrap());
    offline("model download rbee/safetensors").exits(5).says("HF_HUB_OFFLINE");
    stage.rbee("model download rbee/safetensors").exits(0);
    let asked = stage.hub.asked().len();
    offline("model download rbee/safetensors").exits(0);
    assert_eq!(stage.hub.asked().len(), asked);
}

#[test]
fn a_gated_model_names_its_page() {
    let stage = Stage::new(&[]);
    stage.rbee("model download rbee/gated").exits(5).says("/rbee/gated, then set HF_TOKEN");
    let with =
        |name: &str, value: &str| Ran(stage.command("model download rbee/gated").env(name, value).output().unwrap());
    with("HF_TOKEN", "hf_wrong").exits(5).says("ask for access at");
    let path = stage.dir.path().join("kept");
    fs::write(&path, format!("{TOKEN}\n")).unwrap();
    with("HF_TOKEN_PATH", path.to_str().unwrap()).exits(0);
    assert_eq!(sound_blobs(&stage.cache()), 7);
    // It goes to the hub and not to where the bytes are.
    assert!(stage.hub.asked().iter().all(|asked| !(asked.cdn && asked.token)));
}

/// `hf` of the package huggingface_hub, which `scripts/test` installs.
fn hf(stage: &Stage, home: &Path, words: &str) -> Ran {
    let program = std::env::var_os("RBEE_HF").expect("RBEE_HF names the program hf; scripts/test gets it");
    let mut command = Command::new(program);
    command
        .env("HF_ENDPOINT", stage.hub.endpoint())
        .env("HF_HOME", home)
        .env("HF_TOKEN", TOKEN)
        .env("HF_HUB_DISABLE_UPDATE_CHECK", "1");
    if words.contains("offline ") {
        command.env("HF_HUB_OFFLINE", "1");
    }
    Ran(command.args(words.replace("offline ", "").split_whitespace()).output().unwrap())
}

#[test]
#[ignore = "needs hf"]
fn hf_takes_our_caches_and_we_take_its() {
    let stage = Stage::new(&["page=7"]);
    let home = stage.home().join(".cache/huggingface");
    for model in ["rbee/safetensors", "rbee/renamed", "rbee/many", "rbee/gated", "rbee/sharded-GGUF"] {
        Ran(stage.command(&format!("model download {model}")).env("HF_TOKEN", TOKEN).output().unwrap()).exits(0);
        let flag = if model.ends_with("GGUF") { "" } else { "--fail-on-missing-files" };
        hf(&stage, &home, &format!("cache verify {model} {flag}")).exits(0);
        hf(&stage, &home, &format!("offline download {model}")).exits(0);
    }
    hf(&stage, &home, "cache ls").exits(0).says("rbee/many");
    let theirs = stage.dir.path().join("theirs");
    hf(&stage, &theirs, "download rbee/safetensors").exits(0);
    let sent = stage.hub.sent();
    let ours = |words: &str| Ran(stage.command(words).env("HF_HOME", &theirs).output().unwrap());
    ours("model verify").exits(0).says("7 blobs hold");
    ours("model list").exits(0).says("rbee/safetensors");
    ours("model download rbee/safetensors").exits(0).says("unchanged");
    assert_eq!(stage.hub.sent(), sent, "something was fetched again");
}
