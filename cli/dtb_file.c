/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * Owns the way from files to a flattened tree: what is source, what the preprocessor is needed for,
 * and how overlays come to a tree. Sources are put together as text, with a line that names the
 * file before each, so that dtc's messages name it too.
 */

#include "dtb_file.h"

#include "dtb_overlay.h"
#include "file.h"
#include "tool.h"

#include <libfdt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/** More than a source needs of which comes a tree that is accepted. */
#define MOST_SOURCE ((size_t)1 << 26)

/** A tree on its way: as source, or flattened. */
typedef struct draft {
    char *bytes;
    size_t size;
    bool is_source;
} draft_t;

static void take(draft_t *draft, void *bytes, size_t size)
{
    free(draft->bytes);
    draft->bytes = bytes;
    draft->size = size;
}

static bool ends_with(const char *text, const char *ending)
{
    size_t length = strlen(text);
    size_t tail = strlen(ending);

    return length >= tail && strcmp(text + length - tail, ending) == 0;
}

/** How long the comment or string is that begins at the start of a source; 0 if none does. */
static size_t skipped_length(const char *text, size_t size)
{
    bool in_lines = size > 1 && text[0] == '/' && text[1] == '*';
    const char *end = NULL;
    size_t at = 1;

    if (in_lines || (size > 1 && text[0] == '/' && text[1] == '/')) {
        end = in_lines ? memmem(text + 2, size - 2, "*/", 2) : memchr(text, '\n', size);
        return end != NULL ? (size_t)(end - text) + 1 + in_lines : size;
    }
    if (text[0] != '"' && text[0] != '\'') {
        return 0;
    }
    /* Where '\'' is an apostrophe, in a directive, there need not be another one. */
    while (at < size && text[at] != text[0] && (text[0] == '"' || text[at] != '\n')) {
        at += text[at] == '\\' ? 2 : 1;
    }
    return at < size ? at + 1 : size;
}

/** A source with blanks for its comments and strings, to be freed. */
static char *code_of(const draft_t *draft)
{
    char *code = malloc(draft->size + 1);

    for (size_t i = 0; code != NULL && i < draft->size; i++) {
        size_t length = skipped_length(draft->bytes + i, draft->size - i);
        code[i] = draft->bytes[i];
        for (size_t end = i + length; i < end; i++) {
            code[i] = draft->bytes[i] == '\n' ? '\n' : ' ';
        }
        i -= length > 0;
    }
    if (code != NULL) {
        code[draft->size] = '\0';
    }
    return code;
}

/** Where a word begins that is in no comment or string of a source; NULL if it does not. */
static char *find(const draft_t *draft, const char *word)
{
    char *code = code_of(draft);
    char *found = code != NULL ? strstr(code, word) : NULL;
    ptrdiff_t at = found != NULL ? found - code : 0;

    free(code);
    return found != NULL ? draft->bytes + at : NULL;
}

/** Refuse what dtc takes for the end of the source, and would pass over the rest of it. */
static int check_bytes(const draft_t *draft, const char *code, const char *path, cli_error_t *error)
{
    unsigned line = 0; /* the first is the marker */

    for (size_t i = 0; i < draft->size; i++) {
        unsigned char byte = (unsigned char)code[i];
        if (byte == 0 || byte > 0x7e) {
            return cli_error_set(error, "%s:%u: byte 0x%02x outside of comments and strings", path,
                                 line, byte);
        }
        line += byte == '\n';
    }
    return 0;
}

/** The line of the first directive of the C preprocessor, from 1 on; 0 if there is none. */
static unsigned directive_line(const char *text)
{
    /* Properties can begin with '#' too, but with none of these words. */
    static const char *const words[] = {"include", "define", "undef", "if",   "ifdef",
                                        "ifndef",  "elif",   "else",  "endif"};
    unsigned line = 1;

    for (; text != NULL && *text != '\0'; line++) {
        text += strspn(text, " \t");
        if (*text == '#') {
            const char *word = text + 1 + strspn(text + 1, " \t");
            size_t length = strcspn(word, " \t\r\n<\"(!;=");
            for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
                if (strlen(words[i]) == length && strncmp(word, words[i], length) == 0) {
                    return line;
                }
            }
        }
        text = strchr(text, '\n');
        if (text != NULL) {
            text++;
        }
    }
    return 0;
}

/** Run a tool on a draft, which becomes what it writes. */
static int run(draft_t *draft, const char *const *arguments, const char *package,
               const char *purpose, const char *path, cli_error_t *error)
{
    char *folder = file_relative_to(path, ".");
    const tool_t tool = {arguments, package, purpose, folder, path};
    size_t size = 0;
    void *result = folder != NULL ? tool_run(&tool, draft->bytes, draft->size, &size, error) : NULL;

    if (folder == NULL) {
        cli_error_set(error, "%s: out of memory", path);
    }
    free(folder);
    if (result == NULL) {
        return -1;
    }
    take(draft, result, size);
    return 0;
}

static int preprocess(draft_t *draft, unsigned line, const char *path, cli_error_t *error)
{
    static const char *const arguments[] = {"cpp", "-nostdinc", "-undef", "-D__DTS__",
                                            "-I",  ".",         "-x",     "assembler-with-cpp",
                                            "-",   NULL};
    char purpose[128];

    snprintf(purpose, sizeof(purpose), "the source needs the C preprocessor, from line %u on",
             line);
    return run(draft, arguments, "cpp", purpose, path, error);
}

static int run_dtc(draft_t *draft, const char *const *arguments, const char *path,
                   cli_error_t *error)
{
    return run(draft, arguments, "device-tree-compiler", "it compiles device tree sources", path,
               error);
}

/** Make it flattened. `symbols`: with its labels, for overlays. */
static int flatten(draft_t *draft, bool symbols, const char *path, cli_error_t *error)
{
    const char *const arguments[] = {
        "dtc", "-q", "-I", "dts", "-O", "dtb", "-o", "-", "-", symbols ? "-@" : NULL, NULL};

    if (draft->is_source && run_dtc(draft, arguments, path, error) != 0) {
        return -1;
    }
    draft->is_source = false;
    return 0;
}

/** Make it source. */
static int decompile(draft_t *draft, const char *path, cli_error_t *error)
{
    static const char *const arguments[] = {"dtc", "-q", "-I", "dtb", "-O",
                                            "dts", "-o", "-",  "-",   NULL};

    if (!draft->is_source && run_dtc(draft, arguments, path, error) != 0) {
        return -1;
    }
    draft->is_source = true;
    return 0;
}

/** Put a line that names the file before a source, unless the name is one that it cannot have. */
static int add_marker(draft_t *draft, const char *path, cli_error_t *error)
{
    const char *name = strpbrk(path, "\"\\\n") == NULL ? path : "<stdin>";
    size_t room = strlen(name) + 16; /* for the line before it */
    char *text = malloc(room + draft->size + 1);
    int length;

    if (text == NULL) {
        return cli_error_set(error, "%s: out of memory", path);
    }
    length = snprintf(text, room, "#line 1 \"%s\"\n", name);
    memcpy(text + length, draft->bytes, draft->size);
    text[(size_t)length + draft->size] = '\0';
    take(draft, text, (size_t)length + draft->size);
    return 0;
}

/** Read a file; a source is preprocessed if it asks for that. */
static int read_draft(draft_t *draft, const char *path, cli_error_t *error)
{
    unsigned line;
    char *code;
    int result;

    draft->bytes = file_read_up_to(path, MOST_SOURCE, &draft->size, error);
    if (draft->bytes == NULL) {
        return -1;
    }
    draft->is_source =
        !ends_with(path, ".dtb") && !ends_with(path, ".dtbo") &&
        (draft->size < sizeof(fdt32_t) || fdt32_ld((void *)draft->bytes) != FDT_MAGIC);
    if (!draft->is_source) {
        return 0;
    }
    if (draft->size == 0) {
        return cli_error_set(error, "%s: empty", path);
    }
    if (add_marker(draft, path, error) != 0) {
        return -1;
    }
    code = code_of(draft);
    if (code == NULL) {
        return cli_error_set(error, "%s: out of memory", path);
    }
    line = directive_line(code);
    result = check_bytes(draft, code, path, error);
    free(code);
    return result == 0 && line != 0 ? preprocess(draft, line - 1, path, error) : result;
}

/** Append an overlay's source to a tree's. */
static int append(draft_t *draft, draft_t *overlay, const char *path, const char *overlay_path,
                  cli_error_t *error)
{
    char *header = find(overlay, "/dts-v1/");
    char *text;

    if (decompile(draft, path, error) != 0) {
        return -1;
    }
    if (header != NULL) { /* in the middle of a source it would be a syntax error */
        size_t length = strcspn(header, ";") + 1;
        memset(header, ' ', length <= strlen(header) ? length : strlen(header));
    }
    text = malloc(draft->size + overlay->size + 2);
    if (text == NULL) {
        return cli_error_set(error, "%s: out of memory", overlay_path);
    }
    memcpy(text, draft->bytes, draft->size);
    text[draft->size] = '\n';
    memcpy(text + draft->size + 1, overlay->bytes, overlay->size);
    text[draft->size + 1 + overlay->size] = '\0';
    take(draft, text, draft->size + 1 + overlay->size);
    return 0;
}

static int apply(draft_t *draft, draft_t *overlay, const char *path, const char *overlay_path,
                 cli_error_t *error)
{
    size_t size = 0;
    void *result;

    if (flatten(draft, true, path, error) != 0 ||
        flatten(overlay, true, overlay_path, error) != 0) {
        return -1;
    }
    result = dtb_overlay_apply(&(dtb_named_t){draft->bytes, draft->size, path},
                               &(dtb_named_t){overlay->bytes, overlay->size, overlay_path}, &size,
                               error);
    if (result == NULL) {
        return -1;
    }
    take(draft, result, size);
    return 0;
}

static int add_overlay(draft_t *draft, const char *path, const char *overlay_path,
                       cli_error_t *error)
{
    draft_t overlay = {0};
    int result = read_draft(&overlay, overlay_path, error);

    if (result == 0 && overlay.is_source && find(&overlay, "/plugin/") == NULL) {
        result = append(draft, &overlay, path, overlay_path, error);
    } else if (result == 0) {
        result = apply(draft, &overlay, path, overlay_path, error);
    }
    free(overlay.bytes);
    return result;
}

void *dtb_file_load_with(const char *path, const char *const *overlays, size_t *size,
                         cli_error_t *error)
{
    bool with_overlays = overlays != NULL && overlays[0] != NULL;
    draft_t draft = {0};
    int result = read_draft(&draft, path, error);

    for (const char *const *overlay = overlays; overlay != NULL && *overlay != NULL && result == 0;
         overlay++) {
        result = add_overlay(&draft, path, *overlay, error);
    }
    if (result == 0) {
        result = flatten(&draft, with_overlays, path, error);
    }
    if (result == 0 && dtb_is_overlay(draft.bytes, draft.size)) {
        result =
            cli_error_set(error,
                          "%s: this is an overlay (its nodes have __overlay__), no tree of its "
                          "own: name the tree that it is for, and this with --overlay",
                          path);
    }
    if (result != 0) {
        free(draft.bytes);
        return NULL;
    }
    *size = draft.size;
    return draft.bytes;
}

void *dtb_file_load(const char *path, size_t *size, cli_error_t *error)
{
    return dtb_file_load_with(path, NULL, size, error);
}
