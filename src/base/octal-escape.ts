/**
 * The kernel's escapes in mountinfo and its like (proc_pid_mountinfo(5)): a space, tab, newline, backslash or hash is
 * written as a backslash and three octal digits.
 */

/** All else, bytes read as latin1 too, stays as it is. */
export function decodeOctalEscapes(field: string): string {
  return field.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(parseInt(digits, 8)));
}
