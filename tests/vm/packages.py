"""FETCHES Debian packages of any release and architecture into a directory, without a trace in the machine's own package
lists, and unpacks them without running anything of them. Everything is checked by apt, and fetched once."""

import pathlib
import shutil
import subprocess

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
# Where a package is from, and where its corrections are.
SUITES = {
    "bullseye": ["bullseye", "bullseye-security"],
    "bookworm": ["bookworm", "bookworm-updates", "bookworm-security"],
    "trixie": ["trixie", "trixie-updates", "trixie-security"],
}


def run(*words, **more):
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, **more)
    if done.returncode != 0:
        raise SystemExit(f"vm: {' '.join(map(str, words[:6]))} …: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def mirrors():
    """Where this machine has its own packages from: the archive, and the archive of corrections."""
    listed = run("apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE)", "Identifier: Packages")
    pairs = [line.split() for line in listed.splitlines() if len(line.split()) == 2]
    plain = [uri for uri, suite in pairs if suite in SUITES]
    security = [uri for uri, suite in pairs if suite.endswith("-security")]
    if not plain:
        raise SystemExit("vm: needs a Debian with package lists: apt-get update")
    return plain[0], (security or [None])[0]


class Archive:
    """The packages of one release for one architecture."""

    def __init__(self, base, release, architecture):
        self.place = pathlib.Path(base) / "apt" / f"{release}-{architecture}"
        self.release, self.architecture = release, architecture
        for part in ["lists/partial", "cache/archives/partial"]:
            (self.place / part).mkdir(parents=True, exist_ok=True)
        (self.place / "status").touch()
        plain, security = mirrors()
        lines = []
        for suite in SUITES[release]:
            uri = security if suite.endswith("-security") else plain
            if uri:
                lines.append(f"deb [signed-by={KEYRING}] {uri} {suite} main\n")
        (self.place / "sources.list").write_text("".join(lines))
        self.options = [
            f"Dir::State={self.place}", f"Dir::State::Lists={self.place}/lists", f"Dir::State::status={self.place}/status",
            f"Dir::Cache={self.place}/cache", f"Dir::Etc::sourcelist={self.place}/sources.list", "Dir::Etc::sourceparts=-",
            "Dir::Etc::preferencesparts=-", f"APT::Architecture={architecture}", f"APT::Architectures={architecture}",
            "APT::Install-Recommends=false", "APT::Sandbox::User=root", "Acquire::Languages=none", "Acquire::Retries=3",
            "Debug::NoLocking=true",
        ]  # fmt: skip

    def apt(self, tool, *words):
        options = [part for option in self.options for part in ("-o", option)]
        return run(tool, *options, *words)

    def update(self):
        if not any(self.place.glob("lists/*_Packages*")):
            self.apt("apt-get", "update", "-qq")

    def newest_kernel(self):
        """The package that `linux-image-ARCHITECTURE` stands for today."""
        self.update()
        shown = self.apt("apt-cache", "depends", f"linux-image-{self.architecture}")
        return next(line.split()[-1] for line in shown.splitlines() if "Depends: linux-image-" in line)

    def fetch(self, *packages, needed=False):
        """Their files, and those of all that they need if that is wanted."""
        self.update()
        archives = self.place / "cache/archives"
        if needed:
            # A line each: 'URI' NAME SIZE CHECKSUM. What is there already is not listed, so it is asked for in an empty cache.
            nowhere = ["-o", f"Dir::Cache::archives={self.place}/none/"]
            (self.place / "none/partial").mkdir(parents=True, exist_ok=True)
            listed = self.apt("apt-get", *nowhere, "install", "-qq", "--yes", "--print-uris", *packages)
            self.apt("apt-get", "install", "-qq", "--yes", "--download-only", *packages)
            return [archives / line.split()[1] for line in listed.splitlines() if line.startswith("'")]
        found = []
        for package in packages:
            if not list(archives.glob(f"{package}_*.deb")):
                run("apt-get", *[part for it in self.options for part in ("-o", it)], "download", "-qq", package, cwd=archives)
            found += archives.glob(f"{package}_*.deb")
        return found


def unpack(files, into):
    """What a marker says to be unpacked is; a link to a directory (`/bin`) stays one."""
    into = pathlib.Path(into)
    marker, names = into / ".unpacked", "\n".join(sorted(file.name for file in files))
    if marker.exists() and marker.read_text() == names:
        return into
    shutil.rmtree(into, ignore_errors=True)
    for name in ["bin", "sbin", "lib", "lib64"]:
        (into / "usr" / name).mkdir(parents=True, exist_ok=True)
        (into / name).symlink_to(f"usr/{name}")
    for file in files:
        tar = subprocess.run(["dpkg-deb", "--fsys-tarfile", str(file)], capture_output=True, check=True).stdout
        subprocess.run(["tar", "-x", "--keep-directory-symlink", "-C", str(into)], input=tar, check=True)
    marker.write_text(names)
    return into
