#!/bin/bash
# debian-wasm.sh FOLDER SYSROOT
# Puts a compiler for wasm32-unknown-unknown into FOLDER, from Debian's packages alone: nothing is
# installed, no root is needed. Debian ships the compiler (rustc-web) and the library's source, but not the
# library built for wasm, so that is built here, once. SYSROOT is the toolchain whose cargo does it.
set -euo pipefail
folder=$1 sysroot=$2 target=wasm32-unknown-unknown

mkdir -p "$folder/packages" && cd "$folder/packages"
depends() { apt-cache depends --no-recommends --no-suggests "$1" | sed -n "s/^ *Depends: \($2\)$/\1/p" | head -1; }
library=$(depends libstd-rust-web-dev 'libstd-rust-web-[0-9.]*')
llvm=$(depends "$library" 'libllvm[0-9]*')
apt-get -qq download rustc-web libstd-rust-web-dev rust-web-src "$library" "$llvm"
for package in *.deb; do dpkg-deb --extract "$package" "$folder"; done

cat > "$folder/rustc" <<WRAPPER
#!/bin/sh
LD_LIBRARY_PATH=$folder/usr/lib/$(uname -m)-linux-gnu exec $folder/usr/bin/rustc "\$@"
WRAPPER
chmod +x "$folder/rustc"

# As the compiler's own bootstrap builds it, and unwinding, because a panic must stay inside its request.
rustlib=$folder/usr/lib/rustlib
RUSTC=$folder/rustc RUSTC_BOOTSTRAP=1 RUSTFLAGS='-Zforce-unstable-if-unmarked -Cembed-bitcode=yes -Cpanic=unwind' \
  "$sysroot/bin/cargo" build --quiet --release --target $target --target-dir "$folder/build" \
  --manifest-path "$rustlib/src/rust/library/sysroot/Cargo.toml" --features panic-unwind,compiler-builtins-mem
mkdir -p "$rustlib/$target/lib"
cp "$folder/build/$target/release/deps/"*.rlib "$rustlib/$target/lib/"
rm -rf "$folder/build" "$folder/packages" "$folder/usr/src" "$folder/usr/share"
