//! Finds DPDK, writes its bindings and compiles the shim; does nothing without the feature `enabled`.

fn main() {
    #[cfg(feature = "enabled")]
    enabled::main();
}

#[cfg(feature = "enabled")]
mod enabled {
    use std::path::PathBuf;
    use std::process::{Command, exit};
    use std::{env, panic};

    const FUNCTIONS: &str = "shim_.*|rte_eal_init|rte_strerror|rte_pktmbuf_(pool_create_by_ops|free_bulk)\
        |rte_eth_dev_(get_port_by_name|info_get|configure|adjust_nb_rx_tx_desc|socket_id|start)\
        |rte_eth_(rx|tx)_queue_setup|rte_eth_macaddr_get|rte_eth_(allmulticast|promiscuous)_enable";
    const CONSTANTS: &str = "RTE_PKTMBUF_HEADROOM";
    /// Packed and aligned at once, which Rust cannot say, or of no use to us.
    const OPAQUE: &str = "rte_mbuf|rte_mempool|rte_device|rte_arp_ipv4|rte_l2tpv2_combined_msg_hdr|rte_gtp_psc_.*";

    pub fn main() {
        println!("cargo::rerun-if-changed=build.rs");
        println!("cargo::rerun-if-changed=shim.h");
        println!("cargo::rerun-if-changed=shim.c");
        println!("cargo::rerun-if-env-changed=PKG_CONFIG");
        pkg_config(&["--atleast-version=21.11"]);
        let cflags = pkg_config(&["--cflags"]);
        write_bindings(&cflags);
        compile_shim(&cflags);
        for folder in pkg_config(&["--libs-only-L"]) {
            println!("cargo::rustc-link-search=native={}", folder.trim_start_matches("-L"));
        }
        // What we call; of DPDK's other 80 libraries those come along that these need.
        for library in ["rte_ethdev", "rte_mbuf", "rte_mempool", "rte_eal"] {
            println!("cargo::rustc-link-lib={library}");
        }
    }

    /// What pkg-config says about DPDK. All its flags matter: a configuration and the least processor are among them.
    fn pkg_config(question: &[&str]) -> Vec<String> {
        let program = env::var("PKG_CONFIG").unwrap_or_else(|_| "pkg-config".into());
        let output = Command::new(&program).args(["--print-errors", "libdpdk"]).args(question).output();
        let output = output.unwrap_or_else(|error| missing(&format!("{program}: {error}")));
        if !output.status.success() {
            missing(String::from_utf8_lossy(&output.stderr).trim());
        }
        String::from_utf8_lossy(&output.stdout).split_whitespace().map(String::from).collect()
    }

    fn write_bindings(cflags: &[String]) {
        let builder = bindgen::Builder::default()
            .header("shim.h")
            .clang_args(cflags)
            .allowlist_function(FUNCTIONS)
            .allowlist_var(CONSTANTS)
            .opaque_type(OPAQUE)
            .derive_default(true)
            .generate_comments(false)
            .layout_tests(true)
            .prepend_enum_name(false);
        // bindgen panics where libclang is not installed, and says so.
        let bindings = panic::catch_unwind(panic::AssertUnwindSafe(|| builder.generate()));
        let bindings = bindings.unwrap_or_else(|_| missing("libclang is not there"));
        let bindings = bindings.unwrap_or_else(|error| missing(&error.to_string()));
        let folder = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
        bindings.write_to_file(folder.join("bindings.rs")).expect("cargo's folder can be written to");
    }

    fn compile_shim(cflags: &[String]) {
        let mut build = cc::Build::new();
        build.file("shim.c").warnings(true);
        for flag in cflags {
            build.flag(flag);
        }
        build.compile("dpdk_shim");
    }

    fn missing(what: &str) -> ! {
        eprintln!("the feature `dpdk` needs DPDK's headers and libclang: apt install libdpdk-dev libclang-dev\n{what}");
        exit(1)
    }
}
