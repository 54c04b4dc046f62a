# SPDX-License-Identifier: MIT
# Makes the tables of common/names.list from preprocessed kernel headers:
#
#   cpp -dD uapi.h | awk -v list=names.list -v out=names.c -v hdr=names.h -f names.awk
#   cpp -dD -DNM_HEADERS_ONLY uapi.h | awk -v have=have.h -f names.awk
#
# Only symbols are taken from the headers; the compiler supplies every number.

function add(table, sym) {
	if (sym ~ /^[A-Z]/ && !((table, sym) in has) && sym !~ /(_MAX|_MASK|_CNT)$/) {
		has[table, sym] = 1
		rows[table] = rows[table] sprintf("\t{ %s, \"%s\" },\n", sym,
						  tolower(substr(sym, strip[table] + 1)))
	}
}

# A symbol belongs to the table with the longest prefix that it starts with.
function add_by_prefix(sym,    len) {
	for (len = length(sym); len; len--)
		if (substr(sym, 1, len) in prefix) {
			add(prefix[substr(sym, 1, len)], sym)
			return
		}
}

# The symbols of an enum's body, one a line.
function symbols(body, sym,    n, i, part) {
	n = split(body, part, ",")
	for (i = 1; i <= n; i++) {
		sub(/=.*/, "", part[i])
		gsub(/[ \t]/, "", part[i])
		sym[i] = part[i]
	}
	return n
}

BEGIN {
	while (list && (getline line < list) > 0)
		if (line !~ /^#/ && split(line, f, " ") >= 2) {
			order[++tables] = f[1]
			if (f[2] ~ /^@/)
				whole[substr(f[2], 2)] = f[1]
			else
				prefix[f[2]] = f[1]
			strip[f[1]] = length(f[3] != "" ? f[3] : f[2])
			f[3] = ""
		}
}

/^#define [A-Z][A-Z0-9_]*[ \t]+[^ \t]/ { macro[++macros] = $2; next }
/^#/ { next }
{ text = text " " $0 }

END {
	while (match(text, /enum[ \t]*[A-Za-z0-9_]*[ \t]*\{[^}]*\}/)) {
		body = substr(text, RSTART, RLENGTH)
		text = substr(text, RSTART + RLENGTH)
		sub(/^[^{]*\{/, "", body)
		sub(/\}$/, "", body)
		n = symbols(body, sym)
		for (i = 1; i <= n; i++)
			enumerator[sym[i]] = ++enumerators
		for (i = 1; i <= n; i++)
			if (sym[i] in whole)
				for (j = 1; j <= n; j++)
					add(whole[sym[i]], sym[j])
		for (i = 1; i <= n; i++)
			add_by_prefix(sym[i])
	}
	for (i = 1; i <= macros; i++)
		add_by_prefix(macro[i])

	if (have) {
		print "/* Which enumerators the system's headers have; generated. */" > have
		for (s in enumerator)
			if (s ~ /^[A-Z]/)
				print "#define HAVE_" s " 1" > have
		exit
	}
	print "/* Generated from the system's headers. */\n#include \"uapi.h\"\n\n#include \"names.h\"\n" > out
	print "/* Generated from the system's headers. */\n#include \"netmon.h\"\n" > hdr
	for (i = 1; i <= tables; i++) {
		t = order[i]
		printf "static const struct nm_name v_%s[] = {\n%s};\n", t, rows[t] > out
		printf "const struct nm_names nm_%s = { v_%s, NM_COUNT(v_%s) };\n\n", t, t, t > out
		printf "extern const struct nm_names nm_%s;\n", t > hdr
	}
}
