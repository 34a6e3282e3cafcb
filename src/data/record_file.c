// SPDX-License-Identifier: Apache-2.0
#include "record_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* zlib reads several members one behind the other, as gzip does. */
static dpo_status unpack_stream(gzFile stream, record_file *file)
{
    enum { PIECE_BYTES = 1 << 18 };
    dpo_buffer piece = {0};
    dpo_status status = dpo_buffer_append(&piece, NULL, PIECE_BYTES);
    int n = 1;

    while (status == DPO_OK && n > 0) {
        n = gzread(stream, piece.data, PIECE_BYTES);
        if (n > 0) status = dpo_buffer_append(&file->unpacked, piece.data, n);
    }
    if (status == DPO_OK) {
        int code = Z_OK;
        const char *text = gzerror(stream, &code);

        if (n < 0 || code != Z_OK)
            status = DPO_FAIL(DPO_EDATA, "%s: damaged gzip data: %s; fetch the file again",
                              file->path, text);
    }
    dpo_buffer_destroy(&piece);
    return status;
}

static dpo_status unpack(record_file *file)
{
    gzFile stream = gzopen(file->path, "rb");

    if (stream == NULL)
        return DPO_FAIL(DPO_EIO, "%s: cannot be opened: %s", file->path, strerror(errno));
    dpo_status status = unpack_stream(stream, file);

    (void)gzclose(stream);
    file->text = dpo_buffer_text(&file->unpacked);
    file->n_bytes = file->unpacked.size_bytes;
    return status;
}

static dpo_status map_descriptor(int descriptor, record_file *file)
{
    struct stat info;

    if (fstat(descriptor, &info) != 0)
        return DPO_FAIL(DPO_EIO, "%s: cannot be read: %s", file->path, strerror(errno));
    if (!S_ISREG(info.st_mode))
        return DPO_FAIL(DPO_EIO, "%s: not a file, expected JSONL, a JSON array, or either as gzip",
                        file->path);
    if (info.st_size == 0) return DPO_OK;
    file->mapping = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_PRIVATE, descriptor, 0);
    if (file->mapping == MAP_FAILED) {
        file->mapping = NULL;
        return DPO_FAIL(DPO_EIO, "%s: cannot be mapped: %s", file->path, strerror(errno));
    }
    file->mapped_bytes = info.st_size;
    file->text = file->mapping;
    file->n_bytes = info.st_size;
    return DPO_OK;
}

static void unmap(record_file *file)
{
    if (file->mapping != NULL) (void)munmap(file->mapping, (size_t)file->mapped_bytes);
    file->mapping = NULL;
    file->mapped_bytes = 0;
}

static dpo_status map(record_file *file)
{
    int descriptor = open(file->path, O_RDONLY);

    if (descriptor < 0)
        return DPO_FAIL(DPO_EIO, "%s: cannot be opened: %s", file->path, strerror(errno));
    dpo_status status = map_descriptor(descriptor, file);

    (void)close(descriptor);
    return status;
}

static bool begins_with(const record_file *file, const char *bytes)
{
    return file->n_bytes >= (int64_t)strlen(bytes) && memcmp(file->text, bytes, strlen(bytes)) == 0;
}

static bool begins_array(const record_file *file)
{
    int64_t i = 0;

    while (i < file->n_bytes && is_blank(file->text[i]))
        i++;
    return i < file->n_bytes && file->text[i] == '[';
}

dpo_status record_file_open(const char *path, record_file *file)
{
    dpo_status status;

    *file = (record_file){.path = path, .text = ""};
    status = map(file);
    if (status == DPO_OK && begins_with(file, "\x1f\x8b")) {
        unmap(file);
        status = unpack(file);
    }
    if (status != DPO_OK) {
        record_file_close(file);
        return status;
    }
    if (begins_with(file, "\xef\xbb\xbf")) {
        file->text += 3;
        file->n_bytes -= 3;
    }
    file->is_array = begins_array(file);
    return DPO_OK;
}

void record_file_close(record_file *file)
{
    unmap(file);
    dpo_buffer_destroy(&file->unpacked);
    *file = (record_file){0};
}

/* Offset behind the line feed at or behind `at`; the end if there is none. */
static int64_t behind_line(const record_file *file, int64_t at)
{
    const char *feed = memchr(file->text + at, '\n', (size_t)(file->n_bytes - at));

    return feed == NULL ? file->n_bytes : feed - file->text + 1;
}

/* First begin of a line at or behind an offset. */
static int64_t line_begin(const record_file *file, int64_t at)
{
    return at == 0 ? 0 : at > file->n_bytes ? file->n_bytes : behind_line(file, at - 1);
}

static bool is_blank_line(const record_file *file, int64_t begin, int64_t end)
{
    while (begin < end && is_blank(file->text[begin]))
        begin++;
    return begin == end;
}

static dpo_status list_lines(const record_file *file, dpo_range range, dpo_buffer *records,
                             int64_t *n_lines)
{
    int64_t end = line_begin(file, range.end);

    for (int64_t at = line_begin(file, range.begin); at < end; (*n_lines)++) {
        int64_t next = behind_line(file, at);
        record line = {at, next - at, *n_lines};

        while (line.n_bytes > 0 && is_blank(file->text[at + line.n_bytes - 1]))
            line.n_bytes--;
        if (!is_blank_line(file, at, next)) DPO_TRY(dpo_buffer_append(records, &line, sizeof line));
        at = next;
    }
    return DPO_OK;
}

/* A place in an array's text. */
typedef struct {
    const record_file *file;
    int64_t at;
    int64_t line; /* from 0 */
} scanner;

static char peek(const scanner *s)
{
    return (char)(s->at < s->file->n_bytes ? s->file->text[s->at] : '\0');
}

static void advance(scanner *s)
{
    s->line += peek(s) == '\n';
    s->at++;
}

static void skip_blanks(scanner *s)
{
    while (s->at < s->file->n_bytes && is_blank(peek(s)))
        advance(s);
}

static void skip_text(scanner *s)
{
    advance(s);
    while (s->at < s->file->n_bytes && peek(s) != '"') {
        if (peek(s) == '\\') advance(s);
        advance(s);
    }
    advance(s);
}

/* To the comma or bracket that ends the item; what is inside is checked when the item is parsed. */
static void skip_item(scanner *s)
{
    int64_t depth = 0;

    while (s->at < s->file->n_bytes) {
        char c = peek(s);

        if (depth == 0 && (c == ',' || c == ']')) return;
        depth += c == '{' || c == '[';
        depth -= c == '}' || c == ']';
        if (c == '"')
            skip_text(s);
        else
            advance(s);
    }
}

static dpo_status refuse_array(const scanner *s, const char *what)
{
    return DPO_FAIL(DPO_EDATA, "%s, line %lld: %s of a JSON array of examples", s->file->path,
                    (long long)s->line + 1, what);
}

static dpo_status list_items(const record_file *file, dpo_range range, dpo_buffer *records)
{
    scanner s = {file, 0, 0};

    skip_blanks(&s);
    advance(&s);
    skip_blanks(&s);
    for (bool more = peek(&s) != ']'; more;) {
        record item = {s.at, 0, s.line};

        skip_item(&s);
        item.n_bytes = s.at < file->n_bytes ? s.at - item.begin : 0;
        if (item.n_bytes <= 0) return refuse_array(&s, "expected an item or the end");
        if (item.begin >= range.begin && item.begin < range.end)
            DPO_TRY(dpo_buffer_append(records, &item, sizeof item));
        more = peek(&s) == ',';
        if (more) advance(&s);
        skip_blanks(&s);
    }
    if (peek(&s) != ']') return refuse_array(&s, "expected the end");
    advance(&s);
    skip_blanks(&s);
    return s.at == file->n_bytes ? DPO_OK : refuse_array(&s, "more text behind the end");
}

dpo_status record_file_list(const record_file *file, dpo_range range, dpo_buffer *records,
                            int64_t *n_lines)
{
    *n_lines = 0;
    if (file->is_array) return list_items(file, range, records);
    return list_lines(file, range, records, n_lines);
}
