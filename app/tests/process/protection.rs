//! Bdevs with metadata: their parameters, what is saved of them, and an ordinary initiator's load.

use serde_json::{Value, json};

use super::{Target, folder, roce, write_config};

fn bdev(target: &Target, name: &str) -> Value {
    target.call("bdev_get_bdevs", json!({"name": name}))[0].clone()
}

#[test]
fn metadata_is_described_and_saved() {
    let folder = folder();
    let file = |name: &str| folder.path().join(name);
    let saved = {
        let target = Target::start(folder.path(), &[]);
        let interleaved = |mut params: Value, kind: u32| {
            params["md_size"] = 8.into();
            params["md_interleave"] = true.into();
            params["dif_type"] = kind.into();
            params
        };
        for (method, params) in [
            (
                "bdev_null_create",
                json!({"name": "n", "num_blocks": 64, "block_size": 512, "md_size": 8, "dif_type": 3}),
            ),
            ("bdev_malloc_create", interleaved(json!({"name": "m", "num_blocks": 64, "block_size": 4096}), 1)),
            ("bdev_malloc_create", json!({"name": "plain", "num_blocks": 64, "block_size": 512})),
            ("bdev_uring_create", interleaved(json!({"name": "u", "filename": file("u"), "size": 64 * 520}), 0)),
            (
                "bdev_aio_create",
                interleaved(
                    json!({"name": "a", "filename": file("a"), "size": 64 * 4104, "block_size": 4096,
                    "physical_block_size": 8192, "dif_is_head_of_md": true}),
                    3,
                ),
            ),
        ] {
            target.call(method, params);
        }
        for (name, block_size, physical, kind) in
            [("n", 520, 512, 3), ("m", 4104, 4096, 1), ("u", 520, 4096, 0), ("a", 4104, 8192, 3)]
        {
            let described = bdev(&target, name);
            let numbers = [&described["block_size"], &described["physical_block_size"], &described["num_blocks"]];
            assert_eq!(numbers, [&json!(block_size), &json!(physical), &json!(64)], "{name}");
            assert_eq!((&described["md_size"], &described["dif_type"]), (&json!(8), &json!(kind)), "{name}");
            assert_eq!(described["md_interleave"], true);
        }
        assert_eq!(
            (&bdev(&target, "plain")["md_size"], &bdev(&target, "plain")["block_size"]),
            (&Value::Null, &json!(512))
        );
        target.call("save_config", json!({}))
    };
    let config = write_config(folder.path(), &saved.to_string());
    let target = Target::start(folder.path(), &["-c", &config]);
    assert_eq!(target.call("save_config", json!({})), saved);
    assert_eq!((&bdev(&target, "a")["dif_type"], &bdev(&target, "a")["block_size"]), (&json!(3), &json!(4104)));
    assert_eq!(bdev(&target, "u")["num_blocks"], 64);
}

/// Who knows nothing of protection information reads what it wrote, over two channels on two cores.
#[test]
fn an_ordinary_initiator_s_data_are_protected() {
    let folder = folder();
    let target = Target::start(folder.path(), &[]);
    let metadata = json!({"md_size": 8, "md_interleave": true, "dif_type": 1});
    let with = |mut params: Value| {
        params.as_object_mut().expect("parameters").extend(metadata.as_object().expect("parameters").clone());
        params
    };
    let file = folder.path().join("disk.img");
    target.call("bdev_malloc_create", with(json!({"name": "ram0", "num_blocks": 2048, "block_size": 512})));
    target.call(
        "bdev_uring_create",
        with(json!({"name": "disk01", "filename": file, "size": 512 * 4104, "block_size": 4096})),
    );
    let at = roce::serve_bdevs(&target, &["ram0", "disk01"]);
    for lun in ["0", "1"] {
        for load in [&["-o", "4k", "-q", "8", "--channels", "2"][..], &["-o", "128k", "-q", "2", "--no-immediate"]] {
            let results = roce::run(at, &[load, &["-w", "randrw", "--verify", "-d", "300", "--lun", lun]].concat());
            assert!(results.is_good() && results.tally.compared > 0, "LUN {lun}, {load:?}: {}", results.table());
        }
    }
}
