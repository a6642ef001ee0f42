//! What stands behind a package of Arch elsewhere: names of capabilities, which every system can be asked for.

use crate::vocab::Needed;

/// What a package of Arch means on another system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    /// All of these [capabilities](super::capability).
    Capabilities(&'static [&'static str]),
    /// Every system has it in some form, or no build off Arch needs it.
    Given,
    /// The C library, whose version is among the facts.
    Libc,
    Unknown,
}

/// Looks a package up; the same name may be a program that builds, or a library to link with.
pub(super) fn meaning(package: &str, needed: Needed) -> Meaning {
    Meaning::Capabilities(match package {
        "base-devel" => &["cc", "c++", "make", "patch", "pkg-config", "ld"],
        "gcc" => &["cc", "c++"],
        "clang" | "lld" | "llvm" | "cmake" | "ninja" | "make" | "patch" | "git" | "cargo" | "ccache" | "meson"
        | "go" | "nodejs" | "npm" | "perl" | "wget" | "jq" | "rsync" | "unzip" | "xz" | "zstd" | "tar" | "bison"
        | "flex" | "m4" | "autoconf" | "automake" | "libtool" | "gettext" | "nasm" | "yasm" | "mercurial"
        | "subversion" | "bash" | "file" | "which" | "glslang" | "zip" | "bzip2" | "gzip" => {
            return of_its_name(package);
        }
        "llvm-libs" => &["llvm"],
        "rust" => &["rustc", "cargo"],
        "rustup" => &["cargo"],
        "pkgconf" | "pkg-config" | "pkgconfig" => &["pkg-config"],
        "binutils" => &["ld"],
        "cuda" | "cuda-toolkit" => &["nvcc"],
        "hip" | "hip-runtime-amd" | "rocm-hip-sdk" | "rocm-hip-runtime" | "rocm-llvm" | "rocm" => &["hipcc"],
        "python" | "python3" => &["python3"],
        "python-pip" => &["pip3"],
        "shaderc" => &["glslc"],
        // A program for recipes that download with it, a library for those that link with it.
        "curl" if needed == Needed::ToRun => &["libcurl"],
        "curl" => &["curl"],
        "libcurl" | "libcurl-gnutls" | "libcurl.so" => &["libcurl"],
        "openssl" | "libssl.so" | "libcrypto.so" => &["libssl"],
        "zlib" | "zlib-ng-compat" | "libz.so" => &["zlib"],
        "openblas" | "blas-openblas" | "libopenblas.so" => &["openblas"],
        "blas" | "cblas" | "libblas.so" | "libcblas.so" => &["blas"],
        "lapack" | "lapacke" | "liblapack.so" => &["lapack"],
        "openmp" | "libomp" | "libgomp.so" | "libomp.so" => &["openmp"],
        "protobuf" => &["protoc", "protobuf"],
        "libprotobuf.so" => &["protobuf"],
        "vulkan-headers" => &["vulkan-headers"],
        "vulkan-icd-loader" | "vulkan-driver" | "libvulkan.so" => &["vulkan"],
        "spirv-headers" => &["spirv-headers"],
        "opencl-headers" => &["opencl-headers"],
        "ocl-icd" | "opencl-icd-loader" | "libOpenCL.so" => &["opencl"],
        "sqlite" | "libsqlite3.so" => &["sqlite"],
        "numactl" | "libnuma.so" => &["numa"],
        "boost" | "boost-libs" => &["boost"],
        "eigen" | "eigen3" => &["eigen"],
        "nlohmann-json" => &["nlohmann-json"],
        "cudnn" => &["cudnn"],
        "nccl" => &["nccl"],
        "rocblas" => &["rocblas"],
        "hipblas" => &["hipblas"],
        "glibc" | "musl" | "libc.so" => return Meaning::Libc,
        "gcc-libs" | "libgcc" | "libstdc++" | "libgcc_s.so" | "libstdc++.so" | "base" | "filesystem" | "coreutils"
        | "findutils" | "grep" | "sed" | "gawk" | "awk" | "sh" | "diffutils" | "procps-ng" | "util-linux"
        | "util-linux-libs" | "linux-api-headers" | "ca-certificates" | "tzdata" | "iana-etc" | "fakeroot"
        | "debugedit" | "pacman" | "systemd" | "systemd-libs" => return Meaning::Given,
        _ => return Meaning::Unknown,
    })
}

/// A package whose name is that of its capability.
fn of_its_name(package: &str) -> Meaning {
    match super::capability::CAPABILITIES.iter().find(|capability| capability.name == package) {
        Some(capability) => Meaning::Capabilities(std::slice::from_ref(&capability.name)),
        None => Meaning::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preflight::capability;

    #[test]
    fn every_meaning_is_a_capability_that_some_manager_brings() {
        let packages =
            include_str!("names.rs").split("fn meaning").nth(1).unwrap().split("fn of_its_name").next().unwrap();
        let mut seen = 0;
        for package in packages.split('"').skip(1).step_by(2) {
            for needed in [Needed::ToBuild, Needed::ToRun] {
                let Meaning::Capabilities(names) = meaning(package, needed) else { continue };
                for name in names {
                    let found = capability::of(name).unwrap_or_else(|| panic!("{package}: no capability {name}"));
                    assert!(found.packages.iter().any(|package| !package.is_empty()), "{name}");
                    seen += 1;
                }
            }
        }
        assert!(seen > 100, "{seen}");
        assert_eq!(meaning("curl", Needed::ToRun), Meaning::Capabilities(&["libcurl"]));
        assert_eq!(meaning("frobnicate", Needed::ToBuild), Meaning::Unknown);
    }
}
