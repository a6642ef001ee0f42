//! What a build may need of a host: how each thing is found there, and which package brings it.

/// A thing that a host has or has not.
#[derive(Debug)]
pub(super) struct Capability {
    /// Of a tool that every probe looks for: its name in the facts.
    pub(super) name: &'static str,
    pub(super) proof: Proof,
    /// By [`MANAGERS`](super::packages::MANAGERS)' columns; "" where there is none.
    pub(super) packages: [&'static str; 6],
}

/// How it is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Proof {
    /// The probe of every host looks for it.
    Probed,
    /// One of these commands, asked for its version by this argument; some leave files behind when they are run, and are
    /// not asked.
    Tool(&'static [&'static str], Option<&'static str>),
    /// Modules of pkg-config, then headers; one is enough.
    Library(&'static [&'static str], &'static [&'static str]),
}

use Proof::{Library, Probed, Tool};

const VERSION: Option<&str> = Some("--version");

const fn row(name: &'static str, proof: Proof, packages: [&'static str; 6]) -> Capability {
    Capability { name, proof, packages }
}

/// The capability called `name`.
pub(super) fn of(name: &str) -> Option<&'static Capability> {
    CAPABILITIES.iter().find(|capability| capability.name == name)
}

/// All of them; columns are apt, dnf, pacman, zypper, apk, brew.
#[rustfmt::skip]
pub(super) const CAPABILITIES: &[Capability] = &[
    row("bash", Probed, ["bash"; 6]),
    row("c++", Probed, ["g++", "gcc-c++", "gcc", "gcc-c++", "g++", ""]),
    row("cargo", Probed, ["cargo", "cargo", "rust", "cargo", "cargo", "rust"]),
    row("cc", Probed, ["gcc libc6-dev", "gcc", "gcc", "gcc", "gcc musl-dev", ""]),
    row("cmake", Probed, ["cmake"; 6]),
    row("git", Probed, ["git"; 6]),
    row("make", Probed, ["make"; 6]),
    row("ninja", Probed, ["ninja-build", "ninja-build", "ninja", "ninja", "ninja-build", "ninja"]),
    row("nvcc", Probed, ["nvidia-cuda-toolkit", "cuda-toolkit", "cuda", "cuda-toolkit", "", ""]),
    row("python3", Probed, ["python3", "python3", "python", "python3", "python3", "python3"]),
    row("rustc", Probed, ["rustc", "rust", "rust", "rust", "rust", "rust"]),
    row("setsid", Probed, ["util-linux"; 6]),
    row("sha256", Probed, ["coreutils"; 6]),

    // The probe of every host says whether these are there, but not which version.
    row("curl", Tool(&["curl"], VERSION), ["curl"; 6]),
    row("ld", Tool(&["ld"], VERSION), ["binutils"; 6]),
    row("openssl", Tool(&["openssl"], Some("version")), ["openssl", "openssl", "openssl", "openssl", "openssl", "openssl@3"]),
    row("perl", Tool(&["perl"], VERSION), ["perl"; 6]),
    row("pkg-config", Tool(&["pkg-config", "pkgconf"], VERSION), ["pkg-config", "pkgconf-pkg-config", "pkgconf", "pkgconf-pkg-config", "pkgconf", "pkgconf"]),
    row("tar", Tool(&["tar"], VERSION), ["tar", "tar", "tar", "tar", "tar", "gnu-tar"]),
    row("unzip", Tool(&["unzip"], Some("-v")), ["unzip"; 6]),
    row("xz", Tool(&["xz"], VERSION), ["xz-utils", "xz", "xz", "xz", "xz", "xz"]),
    row("zstd", Tool(&["zstd"], VERSION), ["zstd"; 6]),

    row("autoconf", Tool(&["autoconf"], VERSION), ["autoconf"; 6]),
    row("automake", Tool(&["automake"], VERSION), ["automake"; 6]),
    row("bison", Tool(&["bison"], VERSION), ["bison"; 6]),
    row("bzip2", Tool(&["bzip2"], None), ["bzip2"; 6]),
    row("ccache", Tool(&["ccache"], VERSION), ["ccache"; 6]),
    row("clang", Tool(&["clang"], VERSION), ["clang", "clang", "clang", "clang", "clang", "llvm"]),
    row("file", Tool(&["file"], VERSION), ["file", "file", "file", "file", "file", ""]),
    row("flex", Tool(&["flex"], VERSION), ["flex"; 6]),
    row("gettext", Tool(&["msgfmt"], VERSION), ["gettext", "gettext", "gettext", "gettext-tools", "gettext", "gettext"]),
    row("glslang", Tool(&["glslangValidator", "glslang"], VERSION), ["glslang-tools", "glslang", "glslang", "glslang-devel", "glslang", "glslang"]),
    row("glslc", Tool(&["glslc"], VERSION), ["glslc", "glslc", "shaderc", "shaderc", "shaderc", "shaderc"]),
    // It keeps a folder of its own in the home.
    row("go", Tool(&["go"], None), ["golang-go", "golang", "go", "go", "go", "go"]),
    row("gzip", Tool(&["gzip"], VERSION), ["gzip"; 6]),
    row("hipcc", Tool(&["hipcc"], VERSION), ["hipcc", "hipcc", "hip-runtime-amd rocm-llvm", "", "", ""]),
    row("jq", Tool(&["jq"], VERSION), ["jq"; 6]),
    row("libtool", Tool(&["libtoolize", "glibtoolize"], VERSION), ["libtool"; 6]),
    row("lld", Tool(&["ld.lld", "lld"], VERSION), ["lld"; 6]),
    row("llvm", Tool(&["llvm-config"], VERSION), ["llvm-dev", "llvm-devel", "llvm", "llvm-devel", "llvm-dev", "llvm"]),
    row("m4", Tool(&["m4"], VERSION), ["m4"; 6]),
    row("mercurial", Tool(&["hg"], None), ["mercurial"; 6]),
    row("meson", Tool(&["meson"], VERSION), ["meson"; 6]),
    row("nasm", Tool(&["nasm"], Some("-v")), ["nasm"; 6]),
    row("nodejs", Tool(&["node"], VERSION), ["nodejs", "nodejs", "nodejs", "nodejs", "nodejs", "node"]),
    // It writes logs wherever it is asked.
    row("npm", Tool(&["npm"], None), ["npm", "nodejs-npm", "npm", "npm", "npm", "node"]),
    row("patch", Tool(&["patch"], VERSION), ["patch", "patch", "patch", "patch", "patch", "gpatch"]),
    row("pip3", Tool(&["pip3"], None), ["python3-pip", "python3-pip", "python-pip", "python3-pip", "py3-pip", "python3"]),
    row("protoc", Tool(&["protoc"], VERSION), ["protobuf-compiler", "protobuf-compiler", "protobuf", "protobuf-devel", "protoc", "protobuf"]),
    row("rsync", Tool(&["rsync"], VERSION), ["rsync"; 6]),
    row("subversion", Tool(&["svn"], None), ["subversion"; 6]),
    row("wget", Tool(&["wget"], VERSION), ["wget"; 6]),
    row("which", Tool(&["which"], None), ["debianutils", "which", "which", "which", "which", "which"]),
    row("yasm", Tool(&["yasm"], VERSION), ["yasm"; 6]),
    row("zip", Tool(&["zip"], Some("-v")), ["zip"; 6]),

    row("blas", Library(&["blas", "cblas", "openblas"], &["cblas.h", "openblas/cblas.h"]), ["libblas-dev", "blas-devel", "blas", "blas-devel", "openblas-dev", "openblas"]),
    row("boost", Library(&[], &["boost/version.hpp"]), ["libboost-dev", "boost-devel", "boost", "boost-devel", "boost-dev", "boost"]),
    row("cudnn", Library(&["cudnn"], &["cudnn.h"]), ["nvidia-cudnn", "", "cudnn", "", "", ""]),
    row("eigen", Library(&["eigen3"], &["eigen3/Eigen/Core"]), ["libeigen3-dev", "eigen3-devel", "eigen", "eigen3-devel", "eigen-dev", "eigen"]),
    row("hipblas", Library(&["hipblas"], &["hipblas/hipblas.h"]), ["libhipblas-dev", "hipblas-devel", "hipblas", "", "", ""]),
    row("lapack", Library(&["lapack", "openblas"], &["lapacke.h", "openblas/lapacke.h"]), ["liblapack-dev", "lapack-devel", "lapack", "lapack-devel", "lapack-dev", "lapack"]),
    row("libcurl", Library(&["libcurl"], &["curl/curl.h"]), ["libcurl4-openssl-dev", "libcurl-devel", "curl", "libcurl-devel", "curl-dev", "curl"]),
    row("libssl", Library(&["openssl", "libssl"], &["openssl/ssl.h"]), ["libssl-dev", "openssl-devel", "openssl", "libopenssl-devel", "openssl-dev", "openssl@3"]),
    row("nccl", Library(&["nccl"], &["nccl.h"]), ["libnccl-dev", "", "nccl", "", "", ""]),
    row("nlohmann-json", Library(&["nlohmann_json"], &["nlohmann/json.hpp"]), ["nlohmann-json3-dev", "json-devel", "nlohmann-json", "nlohmann_json-devel", "nlohmann-json", "nlohmann-json"]),
    row("numa", Library(&["numa"], &["numa.h"]), ["libnuma-dev", "numactl-devel", "numactl", "libnuma-devel", "numactl-dev", ""]),
    row("openblas", Library(&["openblas", "openblas64"], &["openblas/cblas.h", "openblas_config.h"]), ["libopenblas-dev", "openblas-devel", "openblas", "openblas-devel", "openblas-dev", "openblas"]),
    row("opencl", Library(&["OpenCL"], &["CL/cl.h"]), ["ocl-icd-opencl-dev", "ocl-icd-devel", "ocl-icd", "ocl-icd-devel", "opencl-dev", "opencl-headers"]),
    row("opencl-headers", Library(&["OpenCL-Headers"], &["CL/cl.h"]), ["opencl-headers", "opencl-headers", "opencl-headers", "opencl-headers", "opencl-headers", "opencl-headers"]),
    // Part of gcc, whose folders only gcc knows.
    row("openmp", Library(&[], &["omp.h"]), ["libomp-dev", "libomp-devel", "openmp", "libomp-devel", "openmp-dev", "libomp"]),
    row("protobuf", Library(&["protobuf"], &["google/protobuf/message.h"]), ["libprotobuf-dev", "protobuf-devel", "protobuf", "protobuf-devel", "protobuf-dev", "protobuf"]),
    row("rocblas", Library(&["rocblas"], &["rocblas/rocblas.h"]), ["librocblas-dev", "rocblas-devel", "rocblas", "", "", ""]),
    row("spirv-headers", Library(&["SPIRV-Headers"], &["spirv/unified1/spirv.h"]), ["spirv-headers", "spirv-headers-devel", "spirv-headers", "spirv-headers", "spirv-headers", "spirv-headers"]),
    row("sqlite", Library(&["sqlite3"], &["sqlite3.h"]), ["libsqlite3-dev", "sqlite-devel", "sqlite", "sqlite3-devel", "sqlite-dev", "sqlite"]),
    row("vulkan", Library(&["vulkan"], &["vulkan/vulkan.h"]), ["libvulkan-dev", "vulkan-loader-devel", "vulkan-icd-loader", "vulkan-devel", "vulkan-loader-dev", "vulkan-loader"]),
    row("vulkan-headers", Library(&[], &["vulkan/vulkan.h"]), ["libvulkan-dev", "vulkan-headers", "vulkan-headers", "vulkan-headers", "vulkan-headers", "vulkan-headers"]),
    row("zlib", Library(&["zlib", "zlib-ng"], &["zlib.h"]), ["zlib1g-dev", "zlib-devel", "zlib", "zlib-devel", "zlib-dev", "zlib"]),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_said_once_and_nothing_in_the_table_is_code() {
        let mut names: Vec<_> = CAPABILITIES.iter().map(|capability| capability.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), CAPABILITIES.len());
        let plain = |text: &str, more: &str| text.chars().all(|c| c.is_ascii_alphanumeric() || more.contains(c));
        for Capability { name, proof, packages } in CAPABILITIES {
            assert!(plain(name, "+-") && packages.iter().all(|package| plain(package, "+-._@ ")), "{name}");
            let words: Vec<&str> = match proof {
                Probed => Vec::new(),
                Tool(commands, argument) => commands.iter().copied().chain(*argument).collect(),
                Library(modules, headers) => modules.iter().chain(*headers).copied().collect(),
            };
            assert!(words.iter().all(|word| plain(word, "+-._/")), "{name}");
        }
    }
}
