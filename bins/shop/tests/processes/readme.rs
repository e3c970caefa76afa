use std::process::Command;

use crate::support::process::{Process, project};
use crate::support::shop::Shop;

/// The shell blocks of the README.
fn blocks() -> Vec<String> {
    let readme = std::fs::read_to_string(project("README.md")).unwrap();
    readme.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap().to_owned()).collect()
}

/// The commands of a block, one each: a line that ends in `\` goes on.
fn commands(block: &str) -> Vec<String> {
    let block = block.replace("\\\n", " ");
    let lines = block.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(str::to_owned).collect()
}

#[tokio::test]
async fn the_walk_works_word_for_word() {
    let shop = Shop::start(&[]);
    let blocks = blocks();
    let walk = blocks.iter().find(|block| block.contains("curl ")).unwrap();
    assert!(walk.contains("http://127.0.0.1:8080/"));
    let mut answers = Vec::new();
    for command in commands(walk) {
        let command = command.replace("http://127.0.0.1:8080", &shop.gateway);
        assert!(command.starts_with("curl "), "{command}");
        // The walk, and the status besides.
        let ended =
            Process::run(Command::new("sh").args(["-c", &format!("{command} -w '\\n%{{http_code}}'")]));
        assert_eq!(ended.code, 0, "{command}: {ended:?}");
        let (body, status) = ended.out.rsplit_once('\n').unwrap();
        answers.push((status.to_owned(), body.to_owned()));
    }
    let expected = [
        ("201", "\"sku\":\"MUG-01\""),
        ("200", "\"available\":true"),
        ("201", "\"status\":\"placed\""),
        ("200", "\"available\":7"),
        ("409", "\"insufficient_stock\""),
        ("200", "\"type\":\"order.placed\""),
    ];
    assert_eq!(answers.len(), expected.len(), "{answers:?}");
    for ((status, body), (expected, part)) in answers.iter().zip(expected) {
        assert!(status == expected && body.contains(part), "{expected} {part}: {status} {body}");
    }
    assert_eq!(shop.client().stock("MUG-01").await, (10, 3, 7), "what was refused took nothing");

    let tools = blocks.iter().find(|block| block.contains("-- import ")).unwrap();
    for command in commands(tools) {
        let command = command.split(" #").next().unwrap();
        let arguments = command.strip_prefix("cargo run --release -p shop -- ").unwrap();
        let arguments: Vec<_> = arguments.split_whitespace().map(file_of_the_project).collect();
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        let ended = shop.tool(&arguments);
        assert_eq!((ended.code, &*ended.err), (0, ""), "{command}: {ended:?}");
    }
}

fn file_of_the_project(word: &str) -> String {
    if word.starts_with("examples/") { project(word).to_str().unwrap().to_owned() } else { word.to_owned() }
}

/// What the README names is there.
#[test]
fn every_file_and_package_that_it_names_is_there() {
    let text = blocks().join("\n");
    for word in text.split_whitespace().filter(|word| word.starts_with("examples/")) {
        assert!(project(word).is_file(), "{word}");
    }
    let words: Vec<_> = text.split_whitespace().collect();
    for example in words.windows(2).filter(|pair| pair[0] == "--example").map(|pair| pair[1]) {
        assert!(project(&format!("examples/{example}.rs")).is_file(), "{example}");
    }
}

#[test]
fn its_configuration_is_good() {
    let readme = std::fs::read_to_string(project("README.md")).unwrap();
    let blocks = readme.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    // Where etcd is, it is asked.
    let ours: Vec<&str> =
        blocks.filter(|text| !text.contains("[dependencies]") && !text.contains("[etcd]")).collect();
    assert!(!ours.is_empty());
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("shop.toml");
    for text in ours {
        std::fs::write(&file, text).unwrap();
        let ended =
            Process::run(crate::support::process::shop().args(["up", "--check", "--config"]).arg(&file));
        assert_eq!(ended.code, 0, "{text}{ended:?}");
    }
    let example = project("examples/gateway.toml");
    let ended = Process::run(
        crate::support::process::server("shop-gateway").args(["--check", "--config"]).arg(example),
    );
    assert_eq!(ended.code, 0, "{ended:?}");
}
