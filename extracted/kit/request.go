package kit

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/labstack/echo/v4"
)

// MaxBody is the longest request body that is read, in bytes.
const MaxBody = 64 << 10

// ReadJSON reads the request's body into v, a pointer to a struct, and returns the body as it came.
// An empty body leaves v as it is. A body that is too long, not JSON, or has a field that v does
// not know or of another type is a *Problem that names the field.
func ReadJSON(c echo.Context, v any) ([]byte, error) {
	body, err := io.ReadAll(http.MaxBytesReader(c.Response(), c.Request().Body, MaxBody))
	if tooLong := (*http.MaxBytesError)(nil); errors.As(err, &tooLong) {
		return nil, &Problem{Status: http.StatusRequestEntityTooLarge, Code: "too_large", Field: "body",
			Message: "the body may have " + strconv.Itoa(MaxBody) + " bytes at most"}
	}
	if err != nil {
		return nil, Invalid("body", "could not be read to its end")
	}
	if len(bytes.TrimSpace(body)) == 0 {
		return body, nil
	}
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(v); err != nil {
		return nil, jsonProblem(err)
	}
	if _, err := decoder.Token(); err != io.EOF {
		return nil, Invalid("body", "must be one JSON object and nothing after it")
	}
	return body, nil
}

func jsonProblem(err error) *Problem {
	if wrong := (*json.UnmarshalTypeError)(nil); errors.As(err, &wrong) {
		field := wrong.Field
		if field == "" {
			field = "body"
		}
		return Invalid(field, "has the wrong type: "+wrong.Value)
	}
	// encoding/json has no type for an unknown field, only this text.
	if name, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
		return Invalid(strings.Trim(name, `"`), "is not a field of this request")
	}
	return Invalid("body", "must be a JSON object")
}

// PathID reads the path's id, a whole number above zero.
func PathID(c echo.Context, name string) (int64, error) {
	return parseID(name, c.Param(name))
}

// QueryID reads a query parameter that must be there and hold an id.
func QueryID(c echo.Context, name string) (int64, error) {
	return parseID(name, c.QueryParam(name))
}

func parseID(field, text string) (int64, error) {
	id, err := strconv.ParseInt(text, 10, 64)
	if err != nil || id < 1 {
		return 0, Invalid(field, "must be a whole number above 0")
	}
	return id, nil
}

// Text checks a text that must be there, of at most limit characters. It returns the text without
// the space around it.
func Text(field, value string, limit int) (string, error) {
	value = strings.TrimSpace(value)
	switch {
	case value == "":
		return "", Invalid(field, "is required")
	case utf8.RuneCountInString(value) > limit:
		return "", Invalid(field, "may have "+strconv.Itoa(limit)+" characters at most")
	case strings.ContainsRune(value, 0):
		return "", Invalid(field, "may not contain a zero byte")
	}
	return value, nil
}

// Time checks a time that must be there, as RFC 3339 with a year of four digits above 0.
func Time(field, value string) (Timestamp, error) {
	var ts Timestamp
	if err := ts.UnmarshalText([]byte(value)); err != nil || ts.t.Year() < 1 || ts.t.Year() > 9999 {
		return Timestamp{}, Invalid(field, "must be a time such as 2030-01-31T18:30:00Z")
	}
	return ts, nil
}
