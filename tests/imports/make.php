<?php
// What WordPress stores: phpass by its own class (wordpress of Debian 12: wp-includes/class-phpass.php, the argument), and
// bcrypt as `wp_hash_password` of WordPress 6.8 computes it. Passwords come as JSON on standard input.
require $argv[1];

$typed = json_decode(file_get_contents('php://stdin'));
$phpass = new PasswordHash(5, true);
$hashes = [];
foreach ($typed as $password) {
    // What a form sends has passed through wp_magic_quotes, and is hashed so.
    foreach (array_unique([trim($password), addslashes(trim($password))]) as $form) {
        $hashes[] = ['WordPress 6.1', $password, $phpass->HashPassword($form)];
        $prehashed = base64_encode(hash_hmac('sha384', $form, 'wp-sha384', true));
        $hashes[] = ['WordPress 6.8', $password, '$wp' . password_hash($prehashed, PASSWORD_BCRYPT, ['cost' => 4])];
    }
    // phpBB 3.0 writes the same with a name of its own.
    $hashes[] = ['phpBB 3.0', $password, '$H$' . substr($phpass->HashPassword($password), 3)];
    $hashes[] = ['PHP, Laravel', $password, password_hash($password, PASSWORD_BCRYPT, ['cost' => 4])];
}
echo json_encode($hashes, JSON_UNESCAPED_UNICODE | JSON_UNESCAPED_SLASHES);
